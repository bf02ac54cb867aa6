"""The ground floor: Parquet shards and one manifest are the truth; DuckDB is a view of them."""

"""Stories and what a teacher says of them -> targets -> student -> evaluation. Imports no prefect."""

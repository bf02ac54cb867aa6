"""Stories and a teacher -> targets -> student -> evaluation. Imports no prefect."""

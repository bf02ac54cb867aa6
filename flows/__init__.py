"""The only package that knows Prefect: it orders the others, retries, schedules and reports.
Command line and recipes.
"""

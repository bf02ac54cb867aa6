"""The house on one machine: a Prefect server, a worker and what they need, started, watched and
stopped by `stillhouse up`, `status` and `down`.
"""

"""The stages of a night, in their order; apart from nightly.py so that `--help` can name them
without loading Prefect.
"""

STAGES = ("generate", "capture", "train", "evaluate", "promote")

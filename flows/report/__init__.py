"""The page that a person opens in the morning: one self-contained HTML file per night, and an index
of all nights, made from the lake alone.
"""

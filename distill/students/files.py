"""What the files of a student's folder are called, for those who load no model."""

CARD_FILE = "README.md"
FACTS_FILE = "card.json"

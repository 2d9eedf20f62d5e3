"""How many planted faults the verdicts find, how many they name rightly, and how often they cry wolf."""

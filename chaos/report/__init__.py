"""The page of a day: one file of HTML with drawings inside, and nothing from elsewhere."""

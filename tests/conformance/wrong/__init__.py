"""Words that break their promises, one promise each: the suite must notice. They are found by no plan of a user."""

"""The grounds of a model's answers: maps, feature sets, nearest train images, suspected labels, and a page of them."""

"""The Telegram bot: images in, answers of the API out. It talks to the API alone and keeps nothing."""

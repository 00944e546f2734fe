"""The pipeline's models over HTTP: an API, jobs that fit models, a web app and a bot.

`api.py` builds the application from `settings.py`; `routes/` holds the endpoints, `schemas.py` what they take and
return, `tables.py` what is remembered. The app and the bot talk to the API alone, by `client.py`.
"""

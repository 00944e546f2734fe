"""The web app. It talks to the API alone, by `service/client.py`, and knows neither torch nor the pipeline.

`main.py` is what Streamlit runs; each page is a file with `render()`.
"""

"""The web page, made with Gradio: upload photos, compare before and after, download
results."""

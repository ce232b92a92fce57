"""What is shared by everything that talks to the Hub: card text, clean text, requests.

Knows nothing of forecasts or reports.
"""

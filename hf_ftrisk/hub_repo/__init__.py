"""One card's text and one repository's files, edited without losing what others wrote."""

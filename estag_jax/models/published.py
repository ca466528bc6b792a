"""What the published tables call the closed forms that they have; tables print it behind our names."""

CLOSED_FORMS = {"First frame": "PT-s", "Middle frame": "PT-m", "Last frame": "PT-t"}

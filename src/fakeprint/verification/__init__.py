"""`fakeprint verify`: a model's files, the images and the figures, compared with the card in the model's folder."""

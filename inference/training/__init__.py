"""How the networks learn: folders of scenes in, model folders out. Serving never imports this."""

"""From a source file, a live model or an artefact to layer graphs."""

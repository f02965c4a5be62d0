"""The app's stylesheet, parsed no more often than it changes."""

from textual.css.stylesheet import Stylesheet


class ParsedOnce(Stylesheet):
    """Parses a source again only when a variable has changed; Textual does for each screen's own rules."""

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        self.parse()

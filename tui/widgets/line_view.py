"""What all views of lines share: as lines come and go, the view stays where it is and as large as it is."""

from __future__ import annotations

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.widget import Widget


class LineView(ScrollView):
    """Draws the lines one sees. A subclass says how many there are by `have_lines`."""

    def have_lines(self, count: int) -> None:
        """So many lines there are now.

        Textual lays the whole screen out anew where a virtual size changes, and paints all of it: four times
        the work of a key. No place follows from the number of lines but under a parent as high as they are.
        """
        size = Size(self.scrollable_content_region.width, count)
        if size == self.virtual_size:
            return
        if any(isinstance(node, Widget) and node.styles.is_auto_height for node in self.ancestors_with_self):
            self.virtual_size = size
            return
        self.set_reactive(Widget.virtual_size, size)
        # the bars, and whether there are any: where that changes, there is a layout
        self._scroll_update(size)

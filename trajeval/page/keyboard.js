// Arrows move the selection, space plays, slash searches, escape closes.

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// on: {move(rows, columns), toggle(), search(), escape()}. grid: the heatmap's element. isOpen():
// whether a clip was chosen, as arrows else scroll the page.
export function listen(grid, search, on, isOpen) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event;
    if (key === "Escape") {
      on.escape();
      return;
    }
    if (target === search) {
      if (key === "Enter" || key === "ArrowDown") {
        grid.focus();
        on.move(0, 0);
        event.preventDefault();
      }
      return;
    }
    const free = target === grid || target === document.body;
    if (key === "/" && !target.matches("input, select, textarea")) {
      on.search();
      event.preventDefault();
    } else if (MOVES[key] && free && (target === grid || isOpen())) {
      on.move(...MOVES[key]);
      event.preventDefault();
    } else if ((key === " " || key === "Enter") && free && (target === grid || isOpen())) {
      if (key === " ") on.toggle();
      else on.move(0, 0);
      event.preventDefault();
    }
  });
}

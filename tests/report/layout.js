// Finds what does not fit, in pages that are shown in frames of several widths. The findings become the title.
const findings = [];

function find(where, what, node) {
  const text = (node.textContent || "").trim().slice(0, 40);
  findings.push(`${where}: ${what}: <${node.tagName.toLowerCase()} class="${node.getAttribute("class") || ""}"> ${text}`);
}

const outside = (inner, outer) =>
  inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
const overlap = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;

// Only a table may be scrolled, and not on paper.
function checkBoxes(where, page, paper) {
  for (const node of page.querySelectorAll("html, body, body *:not(svg *)")) {
    if (node.closest("svg")) continue;
    if (node.matches(".scroll") && !paper) continue;
    if (node.clientWidth > 0 && node.scrollWidth > node.clientWidth + 1)
      find(where, `${node.scrollWidth} wide in ${node.clientWidth}`, node);
  }
  for (const card of page.querySelectorAll(".card, .note")) {
    const box = card.getBoundingClientRect();
    if (box.width > 0 && box.right > page.documentElement.clientWidth + 1) find(where, "beyond the page", card);
    for (const node of card.querySelectorAll("*:not(title)"))
      if (!node.closest(paper ? "x" : ".scroll") && !node.closest("svg") && outside(node.getBoundingClientRect(), box))
        find(where, "out of its card", node);
  }
}

function checkDrawings(where, page) {
  for (const svg of page.querySelectorAll("svg:not(svg svg)")) {
    const card = svg.closest(".card").getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.getBoundingClientRect().width > 0);
    for (const text of texts)
      if (outside(text.getBoundingClientRect(), card)) find(where, "text out of its card", text);
    for (let i = 0; i < texts.length; ++i)
      for (let j = 0; j < i; ++j)
        if (overlap(texts[i].getBoundingClientRect(), texts[j].getBoundingClientRect()))
          find(where, `text over "${texts[j].textContent}"`, texts[i]);
    const area = svg.getBoundingClientRect();
    for (const mark of svg.querySelectorAll("rect, circle, path"))
      if (outside(mark.getBoundingClientRect(), {left: area.left - 3, right: area.right + 3, top: area.top - 3, bottom: area.bottom + 3}))
        find(where, "mark out of its drawing", mark);
  }
  // What stands beside and below a drawing.
  for (const rows of page.querySelectorAll(".rows")) {
    const boxes = [...rows.children].map((child) => child.getBoundingClientRect());
    for (let i = 3; i < boxes.length; ++i)
      if (overlap(boxes[i], boxes[i - 3])) find(where, "line over the line before", rows.children[i]);
  }
  for (const plot of page.querySelectorAll(".plot"))
    for (const text of plot.querySelectorAll("text")) {
      const next = plot.nextElementSibling, before = plot.previousElementSibling, box = text.getBoundingClientRect();
      for (const other of [next, before])
        if (other && overlap(box, other.getBoundingClientRect())) find(where, "text over what is around the plot", text);
    }
}

// WCAG 2.1, relative luminance and contrast ratio.
function luminance(color) {
  const [r, g, b] = color.match(/[\d.]+/g).map((part) => part / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function checkColours(where, page, dark) {
  const style = (node) => page.defaultView.getComputedStyle(node);
  const ground = (node) => {
    for (; node; node = node.parentElement)
      if (style(node).backgroundColor !== "rgba(0, 0, 0, 0)") return style(node).backgroundColor;
    return "rgb(255, 255, 255)";
  };
  if (luminance(ground(page.body)) < 0.2 !== dark) find(where, `ground is ${ground(page.body)}`, page.body);
  for (const node of page.querySelectorAll("h1, h2, p, dt, dd, td, th, a, figcaption, span, text, strong")) {
    const ink = luminance(node.tagName === "text" ? style(node).fill : style(node).color), paper = luminance(ground(node));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) find(where, `contrast ${contrast.toFixed(1)}`, node);
  }
}

window.addEventListener("load", () => {
  let checked = 0;
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, where = frame.title, paper = frame.dataset.paper !== undefined;
    checked += page.querySelectorAll("h1").length;
    checkBoxes(where, page, paper);
    checkDrawings(where, page);
    checkColours(where, page, frame.style.colorScheme === "dark" && !paper);
  }
  document.title = `checked ${checked}; ${findings.length} findings\n${findings.slice(0, 40).join("\n")}`;
});

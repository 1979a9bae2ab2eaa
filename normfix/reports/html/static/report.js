"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Light or dark, for this view only: nothing is stored.
  const theme = find("#theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // Findings: a search, severities, one rule.
  const filters = find("#filters");
  if (filters) {
    const items = all(".finding");
    const apply = () => {
      const words = find("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
      const severities = new Set(all("input[name=severity]:checked").map((box) => box.value));
      const rule = find("#rule").value;
      let shown = 0;
      for (const item of items) {
        const { severity, code, words: text } = item.dataset;
        item.hidden = !(severities.has(severity) && (!rule || code === rule) && words.every((word) => text.includes(word)));
        shown += !item.hidden;
      }
      find("#shown").value = `${shown} of ${items.length}`;
      find("#nothing").hidden = shown > 0;
    };
    filters.hidden = false;
    filters.addEventListener("input", apply);
    filters.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }

  addEventListener("beforeprint", () => all("details:not([data-long], [data-long] *)").forEach((one) => { one.open = true; }));

  function drawPictures(graphs) {
    const canvases = all(".canvas");
    const status = find("#picture-status");
    const most = graphs[0].most;
    const models = graphs.map(treeOf);
    const open = new Set([""]);
    let zoom = 0;
    let layout = null;

    for (const canvas of canvases) find(".fallback", canvas).textContent = "Drawing…";
    openSome(models[0], open, Math.min(60, most));
    unpack().then((viz) => { layout = viz; redraw(); centre(); find("#picture-controls").hidden = false; }, (error) => {
      for (const canvas of canvases) find(".fallback", canvas).textContent = `The picture cannot be drawn here: ${error.message}`;
    });

    find("#picture-controls").addEventListener("click", (event) => {
      const action = event.target.dataset.do;
      if (action === "in") scale(zoom * 1.25);
      if (action === "out") scale(zoom / 1.25);
      if (action === "fit") { scale(0); centre(); }
      if (action === "open") { openSome(models[0], open, Math.min(most, Math.max(count(models[0], open) * 2, 40))); redraw(); centre(); }
      if (action === "close") { open.clear(); open.add(""); redraw(); centre(); }
    });
    for (const canvas of canvases) {
      canvas.addEventListener("click", (event) => {
        if (canvas.dataset.dragged) event.preventDefault();
        else toggle(event.target.closest("[data-path]"), canvas);
      });
      canvas.addEventListener("keydown", (event) => {
        const target = event.target.closest("[data-path]");
        if (target && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); toggle(target, canvas); }
        delete canvas.dataset.dragged;
        if (event.key === "+") scale(zoom * 1.25);
        if (event.key === "-") scale(zoom / 1.25);
      });
      drag(canvas);
      canvas.addEventListener("scroll", () => {
        for (const other of canvases) if (other !== canvas && other.scrollTop !== canvas.scrollTop) other.scrollTop = canvas.scrollTop;
      });
    }

    function toggle(target, canvas) {
      if (!target) return;
      const path = target.dataset.path;
      const opening = !open.has(path);
      if (opening) open.add(path); else open.delete(path);
      const shown = Math.max(...models.map((model) => count(model, open)));
      if (opening && shown > most) {
        open.delete(path);
        status.textContent = `${shown} nodes would be too many (at most ${most}): close another module first`;
        return;
      }
      redraw();
      const again = all("[data-path]", canvas).find((one) => one.dataset.path === path);
      if (again) { again.focus({ preventScroll: true }); again.scrollIntoView({ block: "nearest", inline: "nearest" }); }
    }

    function redraw() {
      models.forEach((model, number) => {
        const view = visible(model, open);
        canvases[number].replaceChildren(paint(model, view, layout));
        canvases[number].dataset.nodes = view.nodes.length;
      });
      scale(zoom);
      status.textContent = `${canvases.map((canvas) => canvas.dataset.nodes).join(" and ")} nodes`;
    }

    // The picture may be wider than its frame: begin where the network does.
    function centre() {
      for (const canvas of canvases) {
        const first = find(".node", canvas);
        if (!first) continue;
        const { x, width } = first.getBBox();
        const left = (x + width / 2 - find("svg", canvas).viewBox.baseVal.x) * zoom;
        canvas.scrollTo(left - canvas.clientWidth / 2, 0);
      }
    }

    function scale(wanted) {
      for (const canvas of canvases) {
        const picture = find("svg", canvas);
        if (!picture) continue;
        const { width, height } = picture.viewBox.baseVal;
        if (!wanted) wanted = Math.min(1, Math.max((canvas.clientWidth - 4) / width, 0.75));
        picture.setAttribute("width", width * wanted);
        picture.setAttribute("height", height * wanted);
      }
      zoom = Math.min(Math.max(wanted, 0.1), 4);
    }
  }

  function drag(canvas) {
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch") return;
      from = { x: event.clientX + canvas.scrollLeft, y: event.clientY + canvas.scrollTop, startX: event.clientX, startY: event.clientY };
      delete canvas.dataset.dragged;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!from || !(event.buttons & 1)) { from = null; canvas.classList.remove("dragging"); return; }
      if (Math.hypot(event.clientX - from.startX, event.clientY - from.startY) < 5) return;
      canvas.dataset.dragged = "1";
      canvas.classList.add("dragging");
      canvas.scrollLeft = from.x - event.clientX;
      canvas.scrollTop = from.y - event.clientY;
    });
    addEventListener("pointerup", () => { from = null; canvas.classList.remove("dragging"); });
  }

  // The library arrives compressed; its hash stands in the policy of this page.
  async function unpack() {
    const bytes = Uint8Array.from(atob(find("#viz").textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return await Viz.instance();
  }

  function treeOf(graph) {
    const boxes = graph.boxes.map((box) => ({ ...box, boxes: [], nodes: [] }));
    const nodes = graph.nodes.map((node, id) => ({ ...node, id }));
    boxes.forEach((box) => { if (box.parent >= 0) boxes[box.parent].boxes.push(box); });
    nodes.forEach((node) => boxes[node.box].nodes.push(node));
    for (const box of [...boxes].reverse()) {
      box.all = [...box.nodes, ...box.boxes.flatMap((inner) => inner.all)];
      box.severity = Math.max(0, ...box.all.map((node) => node.severity || 0));
      box.norms = box.all.filter((node) => node.norm).length;
      box.marks = new Set(box.all.map((node) => node.mark).filter(Boolean));
      box.depth = 0;
    }
    boxes.forEach((box) => { if (box.parent >= 0) box.depth = boxes[box.parent].depth + 1; });
    return { name: graph.name, boxes, nodes, root: boxes[0] };
  }

  // A box with one child says nothing that the child does not.
  const isOpen = (box, open) => box.depth === 0 || box.nodes.length + box.boxes.length === 1 || open.has(box.path);
  const size = (box, open) => (isOpen(box, open) ? box.nodes.length + box.boxes.reduce((sum, inner) => sum + size(inner, open), 0) : 1);
  const count = (model, open) => size(model.root, open);

  // Open the boxes that matter, outermost first, while the picture stays readable.
  function openSome(model, open, limit) {
    const waiting = model.boxes.filter((box) => !isOpen(box, open));
    const weight = (box) => box.depth - (box.severity > 1 ? 0.5 : 0) - (box.marks.size ? 0.25 : 0);
    waiting.sort((a, b) => weight(a) - weight(b));
    for (const box of waiting) {
      if (!isOpen(model.boxes[box.parent], open)) continue;
      open.add(box.path);
      if (count(model, open) > limit) open.delete(box.path);
    }
  }

  function visible(model, open) {
    const nodes = [];
    const stands = new Map();
    const boxes = [];
    const walk = (box, around) => {
      const shown = box.depth > 0 && box.nodes.length + box.boxes.length > 1;
      if (!isOpen(box, open)) {
        const node = { box, around, key: `b${boxes.length}_${nodes.length}` };
        nodes.push(node);
        box.all.forEach((one) => stands.set(one.id, node));
        return;
      }
      let inside = around;
      if (shown) { inside = { box, around, number: boxes.length, members: [] }; boxes.push(inside); }
      for (const call of box.nodes) {
        const node = { call, around: inside, key: `n${call.id}` };
        nodes.push(node);
        stands.set(call.id, node);
      }
      box.boxes.forEach((inner) => walk(inner, inside));
    };
    walk(model.root, null);
    const edges = new Map();
    for (const call of model.nodes) {
      for (const input of call.inputs) {
        const from = stands.get(input);
        const to = stands.get(call.id);
        if (!from || from === to) continue;
        const key = `${from.key}>${to.key}`;
        const edge = edges.get(key) || { from, to, count: 0 };
        edge.count += 1;
        edges.set(key, edge);
      }
    }
    return { nodes, boxes, edges: [...edges.values()] };
  }

  const SVG = "http://www.w3.org/2000/svg";
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const cut = (text, most) => (text.length > most ? `…${text.slice(1 - most)}` : text);

  function lines(node) {
    if (node.box) {
      const { name, kind, all, norms } = node.box;
      return [`▸ ${cut(name, 26)}`, cut(kind || "module", 30), `${all.length} calls, ${norms} norm${norms === 1 ? "" : "s"}`];
    }
    const { kind, name, shape } = node.call;
    const local = name.includes(".") && node.around ? name.slice(name.lastIndexOf(".") + 1) : name;
    return [cut(kind, 28), ...(local && local !== kind ? [cut(local, 30)] : []), ...(shape ? [shape] : [])];
  }

  // Graphviz sees keys and sizes only: names never reach it.
  function paint(model, view, viz) {
    const nodes = view.nodes.map((node) => {
      node.lines = lines(node);
      node.width = Math.max(64, ...node.lines.map((line, row) => line.length * (row ? 6.5 : 7.6) + 22));
      node.height = 14 + node.lines.length * 14;
      return { name: node.key, attributes: { width: node.width / 72, height: node.height / 72, shape: "box", fixedsize: true, label: "" } };
    });
    const nested = (around) => view.boxes.filter((box) => box.around === around).map((box) => ({
      name: `cluster_${box.number}`,
      graphAttributes: { margin: 12, label: { html: `<table border="0" cellborder="0"><tr><td width="${Math.ceil(heading(box).length * 6.2)}" height="12"></td></tr></table>` }, labeljust: "l", labelloc: "t" },
      nodes: view.nodes.filter((node) => node.around === box).map((node) => ({ name: node.key })),
      subgraphs: nested(box),
    }));
    const found = viz.renderJSON({
      graphAttributes: { rankdir: "TB", nodesep: 0.22, ranksep: 0.3, bgcolor: "transparent" },
      nodes, edges: view.edges.map((edge) => ({ tail: edge.from.key, head: edge.to.key, attributes: { arrowsize: 0.7 } })),
      subgraphs: nested(null),
    });
    return place(model, view, found);
  }

  const heading = (box) => `▾ ${cut(box.box.name, 34)}  ${cut(box.box.kind, 30)}`;

  function place(model, view, found) {
    const [, , width, height] = found.bb.split(",").map(Number);
    const flip = (y) => height - y;
    const margin = 12;
    const picture = make("svg", { viewBox: `${-margin} ${-margin} ${width + 2 * margin} ${height + 2 * margin}`, role: "group", "aria-label": model.name || "network" });
    const objects = new Map((found.objects || []).map((one) => [one.name, one]));
    for (const box of view.boxes) {
      const placed = objects.get(`cluster_${box.number}`);
      if (!placed || !placed.bb) continue;
      const [left, low, right, high] = placed.bb.split(",").map(Number);
      const group = make("g", { class: "box" }, make("rect", { x: left, y: flip(high), width: right - left, height: high - low, rx: 7 }));
      group.append(button(box.box, "toggler", [
        make("rect", { x: left + 4, y: flip(high) + 3, width: right - left - 8, height: 18, rx: 4 }),
        make("text", { x: left + 10, y: flip(high) + 16 }, heading(box)),
      ], true));
      picture.append(group);
    }
    (found.edges || []).forEach((edge, number) => picture.append(...wire(edge, view.edges[number], flip)));
    for (const node of view.nodes) picture.append(shape(node, objects.get(node.key), flip));
    return picture;
  }

  function wire(edge, meant, flip) {
    const points = edge.pos.split(" ");
    let tip = null;
    const curve = [];
    for (const point of points) {
      const parts = point.split(",");
      if (parts[0] === "e") tip = [Number(parts[1]), flip(Number(parts[2]))];
      else if (parts[0] !== "s") curve.push([Number(parts[0]), flip(Number(parts[1]))]);
    }
    const path = `M${curve[0].join(" ")}C${curve.slice(1).map((point) => point.join(" ")).join(" ")}`;
    const drawn = [make("path", { d: path, class: `edge${meant && meant.count > 1 ? " many" : ""}` })];
    if (tip) {
      const [x, y] = curve[curve.length - 1];
      const angle = (Math.atan2(tip[1] - y, tip[0] - x) * 180) / Math.PI;
      drawn.push(make("path", { d: "M0 0L-7 -3.2L-7 3.2Z", class: "arrow", transform: `translate(${tip[0]} ${tip[1]}) rotate(${angle})` }));
    }
    return drawn;
  }

  function shape(node, placed, flip) {
    const [x, y] = placed.pos.split(",").map(Number);
    const { width, height } = node;
    const top = flip(y) - height / 2;
    const parts = [make("rect", { x: x - width / 2, y: top, width, height, rx: 6 })];
    node.lines.forEach((line, row) => parts.push(make("text", { x, y: top + 18 + row * 14, ...(row ? { class: "small" } : {}) }, line)));
    if (node.box) {
      const severity = node.box.severity ? ` s${node.box.severity}` : "";
      const mark = node.box.marks.size ? " changed" : "";
      return button(node.box, `node module${severity}${mark}`, parts, false);
    }
    const { call } = node;
    const classes = ["node", call.norm && "norm", call.severity && `s${call.severity}`, call.mark, call.kind === "input" && "quiet"];
    const said = [call.kind, call.name, call.shape, call.output && "an output of the network", call.mark,
      call.severity && ["", "has an info", "has a warning", "has an error"][call.severity], call.inputs.includes(-1) && "reads something unknown"];
    const text = said.filter(Boolean).join(", ");
    const drawn = make("g", { class: classes.filter(Boolean).join(" "), role: "img", "aria-label": text }, make("title", {}, text), ...parts);
    return call.row ? make("a", { href: `#norm-${call.row}`, "aria-label": text, draggable: false }, drawn) : drawn;
  }

  function button(box, classes, parts, expanded) {
    const text = `${box.path || box.name} ${box.kind}: ${box.all.length} calls, ${box.norms} norms`;
    return make("g", { class: classes, tabindex: 0, role: "button", "aria-expanded": expanded, "aria-label": text, "data-path": box.path }, make("title", {}, text), ...parts);
  }

  const data = find("#graphs");
  if (data) drawPictures(JSON.parse(data.textContent));
})();

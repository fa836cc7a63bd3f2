"use strict";
// The loss surface as a relief that turns: by pointer and touch, by the arrow keys, by its buttons. Without this script
// the page shows the same surface from one side; the projection is that of figures/surface.py. Pointing at it tells
// the loss there.
(() => {
  const SHADES = 24, CELLS = 5200, LEVELS = 16; // colours, cells drawn, contour lines
  const SLOW = 45, REST = 160, NEAR = 14; // milliseconds a frame and until it rests, pixels that pointing reaches
  const CORNERS = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // Puts `many` values between each two by Catmull and Rom's cubic; beside a gap by a straight line's continuation.
  function stretch(values, many) {
    const found = [values[0]];
    for (let i = 0; i + 1 < values.length; i++) {
      const [from, to] = [values[i], values[i + 1]];
      const before = values[i - 1] ?? 2 * from - to, after = values[i + 2] ?? 2 * to - from;
      for (let k = 1; k <= many; k++) {
        const t = k / many;
        if (k === many) found.push(to);
        else if (from === null || to === null) found.push(null);
        else {
          const bent = 2 * from + t * (to - before + t * (2 * before - 5 * from + 4 * to - after
            + t * (3 * (from - to) + after - before)));
          found.push(Math.min(10000, Math.max(0, bent / 2)));
        }
      }
    }
    return found;
  }

  const turned = (rows) => rows[0].map((_, column) => rows.map((row) => row[column]));
  const straight = (values, many) => values.flatMap((value, i) => i + 1 === values.length ? [value]
    : Array.from({ length: many }, (_, k) => value + (values[i + 1] - value) * k / many));

  // The grid with `many` cells in place of each: places on the floor, heights from 0 to 1, the path's pieces by cell.
  function relief(data, many) {
    const rows = turned(turned(data.z.map((row) => stretch(row, many))).map((column) => stretch(column, many)));
    const grid = { x: straight(data.x, many), y: straight(data.y, many) };
    grid.z = rows.map((row) => row.map((height) => height === null ? NaN : height / 10000));
    grid.pieces = new Map();
    const cell = (axis, value) => {
      let at = axis.findIndex((place) => place > value) - 1;
      if (at < 0) at = axis.length - 2;
      return Math.max(0, Math.min(axis.length - 2, at));
    };
    grid.height = (x, y) => {
      const i = cell(grid.x, x), j = cell(grid.y, y);
      const right = (x - grid.x[i]) / (grid.x[i + 1] - grid.x[i]), up = (y - grid.y[j]) / (grid.y[j + 1] - grid.y[j]);
      const low = grid.z[j][i] * (1 - right) + grid.z[j][i + 1] * right;
      return low * (1 - up) + (grid.z[j + 1][i] * (1 - right) + grid.z[j + 1][i + 1] * right) * up;
    };
    // Pieces of the path that lie beside the grid, or over a gap in it, are null.
    grid.walk = data.path.map((point) => {
      const height = point ? grid.height(point[0], point[1]) : NaN;
      return Number.isNaN(height) ? null : [point[0], point[1], height + .012];
    });
    grid.walk.slice(1).forEach((to, k) => {
      const from = grid.walk[k];
      if (!from || !to) return;
      const key = cell(grid.y, (from[1] + to[1]) / 2) * grid.x.length + cell(grid.x, (from[0] + to[0]) / 2);
      grid.pieces.set(key, [...(grid.pieces.get(key) ?? []), [from, to]]);
    });
    return grid;
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const named = (name) => style.getPropertyValue(`--${name}`).trim();
    const ground = Array.from({ length: SHADES }, (_, step) =>
      [1, 3, 5].map((at) => parseInt(named(`ground-${step}`).slice(at, at + 2), 16)));
    return { named, ground };
  }

  function shade(ground, height, light) {
    const at = Math.min(SHADES - 1.001, height * (SHADES - 1)), low = Math.floor(at);
    return `rgb(${ground[low].map((part, k) => {
      const mixed = part + (ground[low + 1][k] - part) * (at - low);
      return Math.round(light < 1 ? mixed * light : mixed + (255 - mixed) * (light - 1));
    }).join(",")})`;
  }

  // Where the contour lines cross a cell whose corners, in their order around it, have these places and heights.
  function contours(places, heights, draw) {
    const low = Math.min(...heights), high = Math.max(...heights);
    for (let level = Math.ceil(low * LEVELS); level <= high * LEVELS; level++) {
      const height = level / LEVELS, ends = [];
      for (let k = 0; k < 4; k++) {
        const [from, to] = [heights[k], heights[(k + 1) % 4]];
        if (from < height === to < height) continue;
        const t = (height - from) / (to - from), [p, q] = [places[k], places[(k + 1) % 4]];
        ends.push([p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t]);
      }
      for (let k = 0; k + 1 < ends.length; k += 2) draw(ends[k], ends[k + 1]);
    }
  }

  class Turning {
    constructor(box) {
      this.box = box;
      this.data = JSON.parse(box.dataset.surface);
      [this.azimuth, this.elevation, this.tall, this.distance] = this.data.view;
      this.first = [this.azimuth, this.elevation];
      this.zoom = 1;
      const many = Math.max(1, Math.floor(Math.sqrt(CELLS / (this.data.x.length * this.data.y.length))));
      this.fine = relief(this.data, many);
      this.canvas = box.querySelector("canvas");
      this.said = box.querySelector("[aria-live]");
      this.tip = box.querySelector(".tip");
      this.controls = box.querySelector(".controls");
      this.canvas.hidden = this.controls.hidden = false;
      box.classList.add("turning");
      this.listen();
      this.draw(this.fine);
      if (!still.matches && "IntersectionObserver" in window) this.swingOnceSeen();
    }

    listen() {
      const { canvas } = this;
      canvas.addEventListener("keydown", (event) => this.key(event));
      canvas.addEventListener("pointerdown", (event) => {
        this.hand = [event.clientX, event.clientY];
        this.taken = true;
        this.spin(false);
        this.point(event);
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (!this.hand) return this.point(event);
        // A finger turns it only sideways: up and down it goes on through the page.
        const up = event.pointerType === "touch" ? 0 : event.clientY - this.hand[1];
        this.turn((this.hand[0] - event.clientX) * .008, up * .006);
        this.hand = [event.clientX, event.clientY];
        return undefined;
      });
      canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { this.hand = null; });
      this.controls.addEventListener("click", (event) => this.act(event.target.closest("button")?.dataset.act));
      new ResizeObserver(() => this.request()).observe(this.box);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.request());
    }

    key(event) {
      const acts = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", Home: "reset", "+": "closer", "-": "farther" };
      if (!(event.key in acts) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.act(acts[event.key]);
    }

    act(name) {
      if (name === "spin") return this.spin(!this.spinning);
      if (name === "save") return this.save();
      if (!name) return undefined;
      this.taken = true;
      this.spin(false);
      const step = Math.PI / 24;
      const turns = { left: [step, 0], right: [-step, 0], up: [0, step], down: [0, -step] };
      if (name === "reset") { [this.azimuth, this.elevation] = this.first; this.zoom = 1; }
      if (name === "closer" || name === "farther") this.zoom = Math.min(2, Math.max(.6, this.zoom * (name === "closer" ? 1.1 : 1 / 1.1)));
      this.turn(...(turns[name] ?? [0, 0]));
      const degrees = (angle) => Math.round(angle * 180 / Math.PI);
      const around = ((degrees(this.azimuth) % 360) + 360) % 360;
      this.said.textContent = `Turned to ${around} degrees, seen from ${degrees(this.elevation)} degrees above.`;
      return undefined;
    }

    // Shows the loss at the place that is pointed at: of those near the pointer the one in front.
    point(event) {
      const box = this.canvas.getBoundingClientRect(), at = [event.clientX - box.left, event.clientY - box.top];
      let found = null, depth = Infinity;
      this.places.forEach((row, j) => row.forEach(([x, y], i) => {
        if (Math.hypot(x - at[0], y - at[1]) > NEAR || Number.isNaN(this.grid.z[j][i])) return;
        const away = this.grid.x[i] * this.sine + this.grid.y[j] * this.cosine
          + Math.hypot(x - at[0], y - at[1]) / this.scale; // of neighbours the one that is pointed at
        if (away < depth) [found, depth] = [[i, j], away];
      }));
      this.tip.hidden = !found;
      if (!found) return;
      const [i, j] = found, [x, y] = this.places[j][i];
      const step = (axis, share) => {
        const [from, to] = this.data.steps[axis], value = from + (share + 1) / 2 * (to - from);
        return String(Number(value.toPrecision(2))).replace("-", "\u2212");
      };
      this.tip.style.left = `${x}px`;
      this.tip.style.top = `${y}px`;
      this.tip.classList.toggle("right", x > box.width / 2);
      this.tip.querySelector("b").textContent = this.loss(this.grid.z[j][i]);
      this.tip.querySelector("span").textContent = `at (${step(0, this.grid.x[i])}, ${step(1, this.grid.y[j])})`;
    }

    // The loss at a height: as the relief of ground.py the other way round.
    loss(height) {
      const { low, high, log, cut } = this.data.span;
      if (cut && height >= .9995) return `loss ${this.short(high)} or more`;
      return `loss ${this.short(log ? low * (high / low) ** height : low + height * (high - low))}`;
    }

    short(value) {
      const text = Number(value.toPrecision(3));
      return Math.abs(text) >= 1e-4 && Math.abs(text) < 1e9 ? text.toLocaleString("en", { maximumSignificantDigits: 3 }) : String(text);
    }

    turn(around, up) {
      this.tip.hidden = true;
      this.azimuth += around;
      this.elevation = Math.min(Math.PI / 2, Math.max(.06, this.elevation + up));
      this.request();
    }

    spin(on) {
      this.spinning = on;
      this.controls.querySelector("[data-act=spin]").setAttribute("aria-pressed", String(on));
      let last = performance.now();
      const step = (now) => {
        if (!this.spinning) return;
        this.turn((now - last) * .0004, 0);
        last = now;
        requestAnimationFrame(step);
      };
      if (on) requestAnimationFrame(step);
    }

    // One short turn into place the first time that it is in the window says that it can be turned, unless the reader
    // has turned it before.
    swingOnceSeen() {
      const watch = new IntersectionObserver(([seen]) => {
        if (!seen.isIntersecting) return;
        watch.disconnect();
        const begun = performance.now(), [azimuth] = this.first;
        const step = (now) => {
          if (this.taken || this.spinning) return;
          const left = Math.max(0, 1 - (now - begun) / 1400) ** 3;
          this.azimuth = azimuth - .6 * left;
          this.request();
          if (left > 0) requestAnimationFrame(step);
        };
        requestAnimationFrame(step);
      }, { threshold: .4 });
      watch.observe(this.box);
    }

    save() {
      this.canvas.toBlob((blob) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = "loss-surface.png";
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      });
    }

    request() {
      if (this.requested) return;
      this.requested = true;
      requestAnimationFrame(() => {
        this.requested = false;
        const begun = performance.now();
        this.draw(this.coarse ?? this.fine);
        if (performance.now() - begun > SLOW && !this.coarse) this.coarse = relief(this.data, 1);
        if (!this.coarse) return;
        clearTimeout(this.rest); // where drawing is slow it is coarse while it moves, and fine when it rests
        this.rest = setTimeout(() => this.draw(this.fine), REST);
      });
    }

    // How far the box has to go down for its nearest and its farthest corner to be equally far from the edges.
    lowering() {
      const half = this.tall / 2, [front, back] = [[-Math.SQRT2, -half], [Math.SQRT2, half]].map(([away, z]) =>
        (z * this.under + away * this.over) * this.distance / (this.distance + away * this.under - z * this.over));
      return (front + back) / 2 + .06;
    }

    at(x, y, height) {
      const z = (height - .5) * this.tall, { sine, cosine, over, under } = this;
      const right = x * cosine - y * sine, away = x * sine + y * cosine;
      const near = this.scale * this.distance / (this.distance + away * under - z * over);
      return [this.middle[0] + right * near, this.middle[1] - (z * under + away * over) * near];
    }

    draw(grid) {
      this.grid = grid;
      const width = this.canvas.clientWidth;
      if (!width) return;
      const narrow = width < 560, height = Math.round(width * (narrow ? .917 : .63)), dense = Math.min(devicePixelRatio || 1, 2.5);
      this.canvas.width = width * dense;
      this.canvas.height = height * dense;
      this.canvas.style.height = `${height}px`;
      this.scale = Math.min(width / 3.2, height / 2.8) * this.zoom;
      [this.sine, this.cosine] = [Math.sin(this.azimuth), Math.cos(this.azimuth)];
      [this.over, this.under] = [Math.sin(this.elevation), Math.cos(this.elevation)];
      this.middle = [width / 2 + (narrow ? 10 : 0), height / 2 + this.scale * this.lowering()];
      this.text = narrow ? 11 : 13;
      this.paint = colours();
      const pen = this.pen = this.canvas.getContext("2d");
      pen.scale(dense, dense);
      pen.fillStyle = this.paint.named("paper");
      pen.fillRect(0, 0, width, height);
      pen.lineJoin = pen.lineCap = "round";
      this.drawBox();
      this.drawCells();
      this.drawPath();
      this.drawNames();
    }

    line(points, colour, width) {
      const { pen } = this;
      pen.beginPath();
      points.forEach(([x, y]) => pen.lineTo(x, y));
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.stroke();
    }

    drawBox() {
      const rule = this.paint.named("rule"), front = this.front();
      for (let k = -1; k <= 1; k += .5) {
        this.line([this.at(k, -1, 0), this.at(k, 1, 0)], rule, 1);
        this.line([this.at(-1, k, 0), this.at(1, k, 0)], rule, 1);
      }
      for (const corner of CORNERS) if (corner !== front) this.line([this.at(...corner, 0), this.at(...corner, 1)], rule, 1);
    }

    front() {
      const away = ([x, y]) => x * this.sine + y * this.cosine;
      return CORNERS.reduce((best, corner) => away(corner) < away(best) ? corner : best);
    }

    // From the back to the front, so that what is near covers what is far.
    drawCells() {
      const { grid, pen } = this, columns = [...grid.x.keys()].slice(0, -1), rows = [...grid.y.keys()].slice(0, -1);
      if (this.sine > 0) columns.reverse();
      if (this.cosine > 0) rows.reverse();
      const places = this.places = grid.z.map((row, j) => row.map((height, i) => this.at(grid.x[i], grid.y[j], height)));
      const casing = this.paint.named("casing");
      for (const j of rows) {
        for (const i of columns) {
          const heights = [grid.z[j][i], grid.z[j][i + 1], grid.z[j + 1][i + 1], grid.z[j + 1][i]];
          if (!heights.some(Number.isNaN)) this.drawCell(i, j, heights, [places[j][i], places[j][i + 1], places[j + 1][i + 1], places[j + 1][i]], casing);
          const pieces = grid.pieces.get(j * grid.x.length + i);
          if (pieces) this.drawPieces(pieces.map((points) => points.map((point) => this.at(...point))), casing);
        }
      }
      pen.globalAlpha = 1;
    }

    drawPieces(pieces, casing) {
      this.pen.lineCap = "butt"; // a round end would cover the piece before it
      for (const piece of pieces) this.line(piece, casing, 4.6);
      this.pen.lineCap = "round";
      for (const piece of pieces) this.line(piece, this.paint.named("path"), 2.4);
    }

    drawCell(i, j, heights, places, casing) {
      const { pen, grid, tall } = this;
      const alongX = tall * (heights[1] - heights[0] + heights[2] - heights[3]) / 2 / (grid.x[i + 1] - grid.x[i]);
      const alongY = tall * (heights[3] - heights[0] + heights[2] - heights[1]) / 2 / (grid.y[j + 1] - grid.y[j]);
      const right = alongX * this.cosine - alongY * this.sine, away = alongX * this.sine + alongY * this.cosine;
      const lit = (.55 * right + .3 * away + .78) / Math.hypot(right, away, 1);
      pen.fillStyle = pen.strokeStyle = shade(this.paint.ground, (heights[0] + heights[1] + heights[2] + heights[3]) / 4, .58 + .5 * lit);
      pen.lineWidth = .7; // closes the seams that smooth edges leave
      pen.beginPath();
      places.forEach(([x, y]) => pen.lineTo(x, y));
      pen.closePath();
      pen.fill();
      pen.stroke();
      let crossed = false;
      pen.beginPath();
      contours(places, heights, (from, to) => { crossed = true; pen.moveTo(...from); pen.lineTo(...to); });
      if (!crossed) return;
      pen.globalAlpha = .3;
      pen.strokeStyle = casing;
      pen.lineWidth = .8;
      pen.stroke();
      pen.globalAlpha = 1;
    }

    // What lies behind a hill shines through; where the path ends there is the model.
    drawPath() {
      const { pen, grid } = this, walk = grid.walk.map((point) => point && this.at(...point));
      if (!walk.length) return;
      pen.globalAlpha = .35;
      walk.slice(1).forEach((to, k) => { if (to && walk[k]) this.line([walk[k], to], this.paint.named("path"), 1.4); });
      pen.globalAlpha = 1;
      for (const [place, ...look] of [[0, 4, "path", "casing"], [walk.length - 1, 6.5, "negative", "path"]]) {
        if (walk[place]) this.ball(walk[place], ...look);
      }
    }

    ball([x, y], radius, fill, edge) {
      const { pen } = this;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fillStyle = this.paint.named(fill);
      pen.fill();
      pen.strokeStyle = this.paint.named(edge);
      pen.lineWidth = 2;
      pen.stroke();
    }

    words(text, [x, y], colour, size, align = "center") {
      const { pen } = this;
      pen.font = `${size}px ${getComputedStyle(this.box).fontFamily}`;
      pen.textAlign = align;
      pen.textBaseline = "middle";
      pen.fillStyle = this.paint.named(colour);
      const half = align === "center" ? pen.measureText(text).width / 2 + 2 : 0; // words stay on the paper
      pen.fillText(text, Math.min(Math.max(x, half), Math.max(this.canvas.clientWidth - half, half)), y);
    }

    drawNames() {
      const front = this.front();
      for (const axis of [0, 1]) {
        const beside = (along, far) => axis ? this.at(far * front[0], along, 0) : this.at(along, far * front[1], 0);
        const apart = (along) => along === front[axis] ? 0.9 * along : along; // both edges end at the corner in front
        [-1, 0, 1].forEach((along, k) => this.words(this.data.ends[axis][k], beside(apart(along), 1.13), "muted", this.text - 1));
        this.words(this.data.names[axis], beside(0, 1.42), "ink", this.text);
      }
      const right = ([x, y]) => x * this.cosine - y * this.sine;
      const corner = CORNERS.reduce((best, other) => right(other) < right(best) ? other : best);
      this.line([this.at(...corner, 0), this.at(...corner, 1)], this.paint.named("muted"), 1);
      for (const [height, label] of this.data.ticks) {
        const [x, y] = this.at(...corner, height);
        this.line([[x, y], [x - 4, y]], this.paint.named("muted"), 1);
        this.words(label, [x - 8, y], "muted", this.text - 1, "right");
      }
      const [x, y] = this.at(...corner, 1);
      this.words(this.data.loss, [x, y - 16], "ink", this.text);
    }
  }

  for (const box of document.querySelectorAll("[data-surface]")) new Turning(box);
})();

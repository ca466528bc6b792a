/* Points and edges in frames, truth over forecast: molecules, proteins and skeletons alike.
 *
 * Every element of class "viewer" holds a <script type="application/json"> of report/viewer.py:
 *   unit, time_unit, names [P], colours [P], radii [P], edges [[i, j]], view [9],
 *   clips [{label, frames, start, step, origin [3], scale, truth, forecast}]
 * truth and forecast are base64 of little-endian int16 [frames, P, 3]; position = origin + scale * int16.
 */
"use strict";
(() => {
  const RAMP = ["#3b6fd4", "#56b4e9", "#f0e442", "#e69f00", "#cc3311"];
  const HELP = "Drag: turn. Wheel after a click, or pinch: zoom. Space: play. Arrows: turn. " +
    ", and . : step. + and - : zoom. Home, End: first, last frame. 0: reset.";

  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const mix = (a, b, t) => a.map((v, i) => v + (b[i] - v) * t);
  const css = (c) => `rgb(${c.map(Math.round).join(",")})`;

  function ramp(t) {
    const at = Math.min(Math.max(t, 0), 1) * (RAMP.length - 1), i = Math.min(Math.floor(at), RAMP.length - 2);
    return mix(rgb(RAMP[i]), rgb(RAMP[i + 1]), at - i);
  }

  function positions(text, clip) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return Float32Array.from(new Int16Array(bytes.buffer), (v, i) => clip.origin[i % 3] + clip.scale * v);
  }

  function element(tag, parent, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    parent.append(made);
    return made;
  }

  function choice(parent, label, options, act) {
    const select = element("select", element("label", parent, {}, label + " "));
    options.forEach(([text, value]) => element("option", select, { textContent: text, value }));
    select.onchange = () => act(select.value);
    return select;
  }

  const digits = (v) => (v === 0 || (v >= 0.01 && v < 1e4) ? String(+v.toPrecision(3)) : v.toExponential(1));

  class Viewer {
    constructor(root, data) {
      Object.assign(this, { root, data, frame: 0, zoom: 1, magnified: 1, playing: false, speed: 1 });
      this.shown = { truth: true, forecast: true };
      this.count = data.names.length;
      this.pointers = new Map();
      this.build();
      this.load(0);
      this.reset();
      new ResizeObserver(() => this.redraw()).observe(this.canvas);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
      addEventListener("theme", () => this.redraw());
    }

    build() {
      const { root, data } = this, several = data.clips.length > 1;
      const compared = data.clips.some((clip) => clip.forecast);
      if (several) {
        const listed = data.clips.map((clip, i) => [clip.label, i]);
        choice(element("div", root, { className: "controls" }), "Show", listed, (i) => this.load(+i));
      }
      this.canvas = element("canvas", root, { tabIndex: 0, title: HELP });
      this.canvas.setAttribute("role", "img");
      const bar = element("div", root, { className: "controls" });
      this.button = element("button", bar, { type: "button", onclick: () => this.play(!this.playing) });
      this.slider = element("input", bar, { type: "range", min: 0, value: 0 });
      this.slider.setAttribute("aria-label", "Frame");
      this.slider.oninput = () => { this.play(false); this.seek(+this.slider.value); };
      this.says = element("output", bar);
      const options = element("div", root, { className: "controls" });
      for (const kind of compared ? ["truth", "forecast"] : []) {
        const box = element("input", element("label", options), { type: "checkbox", checked: true });
        box.after(kind[0].toUpperCase() + kind.slice(1));
        box.onchange = () => { this.shown[kind] = box.checked; this.redraw(); };
      }
      if (compared) {
        const set = (name) => (value) => { this[name] = value; this.redraw(); };
        this.colour = "error";
        choice(options, "Colour", [["error of the node", "error"], ["kind", "kind"]], set("colour"));
        const factors = [1, 3, 10, 30, 100].map((k) => [`× ${k}`, k]);
        choice(options, "Errors drawn", factors, (k) => set("magnified")(+k));
      }
      const speeds = [["slow", 0.25], ["normal", 1], ["fast", 4]];
      choice(options, "Speed", speeds, (v) => { this.speed = +v; }).value = 1;
      element("button", options, { type: "button", textContent: "Reset view", onclick: () => this.reset() });
      this.legend = element("div", root, { className: "legend" });
      this.play(false);
      this.listen();
    }

    load(i) {
      const clip = (this.clip = this.data.clips[i]);
      this.truth = positions(clip.truth, clip);
      this.forecast = clip.forecast ? positions(clip.forecast, clip) : null;
      this.errors = null;
      if (this.forecast) {
        const found = (this.errors = new Float32Array(clip.frames * this.count));
        for (let k = 0; k < found.length; k++) {
          const d = [0, 1, 2].map((j) => this.forecast[3 * k + j] - this.truth[3 * k + j]);
          found[k] = Math.hypot(...d);
        }
        this.largest = found.slice().sort()[Math.floor(0.98 * (found.length - 1))] || 1;
      }
      this.reach = 1e-9;
      for (let f = 0; f < clip.frames; f++) {
        const c = this.centre(f);
        for (let k = 0; k < this.count; k++) {
          const d = [0, 1, 2].map((j) => this.truth[3 * (f * this.count + k) + j] - c[j]);
          this.reach = Math.max(this.reach, Math.hypot(...d));
        }
      }
      this.slider.max = clip.frames - 1;
      this.seek(Math.min(this.frame, clip.frames - 1));
    }

    centre(frame) {
      const sum = [0, 0, 0], first = 3 * frame * this.count;
      for (let i = 0; i < 3 * this.count; i++) sum[i % 3] += this.truth[first + i] / this.count;
      return sum;
    }

    reset() {
      this.zoom = 1;
      this.turn = this.data.view.slice();
      this.redraw();
    }

    rotate(x, y) {  // radians about the screen's vertical and horizontal axes
      const [cx, sx, cy, sy] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
      const by = [cx, 0, sx, sy * sx, cy, -sy * cx, -cy * sx, sy, cy * cx], m = this.turn;
      this.turn = m.map((_, n) => [0, 1, 2].reduce((s, k) => s + by[3 * Math.floor(n / 3) + k] * m[3 * k + (n % 3)], 0));
      this.redraw();
    }

    scale(factor) {
      this.zoom = Math.min(Math.max(this.zoom * factor, 0.2), 20);
      this.redraw();
    }

    seek(frame) {
      const last = this.clip.frames - 1;
      this.frame = Math.min(Math.max(frame, 0), last);
      this.slider.value = this.frame;
      this.root.dataset.frame = this.frame;
      this.redraw();
    }

    play(on) {
      this.playing = on;
      this.button.textContent = on ? "❚❚" : "▶";
      this.button.setAttribute("aria-label", on ? "Pause" : "Play");
      this.says.setAttribute("aria-live", on ? "off" : "polite");
      if (!on) return;
      if (this.frame === this.clip.frames - 1) this.seek(0);
      let before = performance.now(), due = 0;
      const tick = (now) => {
        if (!this.playing || !this.root.isConnected) return;
        due += (now - before) * 0.02 * this.speed;  // 20 frames a second
        before = now;
        const whole = Math.floor(due);
        due -= whole;
        if (whole) this.seek(this.frame + whole);
        if (this.frame >= this.clip.frames - 1) this.play(false);
        else requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    }

    listen() {
      const { canvas, pointers } = this;
      const spread = () => {
        const [a, b] = [...pointers.values()];
        return Math.hypot(a[0] - b[0], a[1] - b[1]);
      };
      canvas.onpointerdown = (e) => {
        canvas.setPointerCapture(e.pointerId);
        pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
      };
      canvas.onpointermove = (e) => {
        const old = pointers.get(e.pointerId);
        if (!old) { this.point(e.offsetX, e.offsetY); return; }
        const before = pointers.size > 1 ? spread() : 0;
        pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
        if (pointers.size > 1) this.scale(spread() / Math.max(before, 1));
        else this.rotate((e.offsetX - old[0]) * 0.01, (e.offsetY - old[1]) * 0.01);
      };
      canvas.onpointerup = canvas.onpointercancel = (e) => pointers.delete(e.pointerId);
      canvas.onpointerleave = () => { if (this.node !== undefined) { this.node = undefined; this.redraw(); } };
      canvas.addEventListener("wheel", (e) => {
        if (document.activeElement !== canvas) return;
        e.preventDefault();
        this.scale(Math.exp(-0.002 * e.deltaY));
      }, { passive: false });
      const keys = {
        " ": () => this.play(!this.playing),
        ArrowLeft: () => this.rotate(-0.1, 0), ArrowRight: () => this.rotate(0.1, 0),
        ArrowUp: () => this.rotate(0, -0.1), ArrowDown: () => this.rotate(0, 0.1),
        ",": () => this.seek(this.frame - 1), ".": () => this.seek(this.frame + 1),
        "+": () => this.scale(1.2), "=": () => this.scale(1.2), "-": () => this.scale(1 / 1.2),
        Home: () => this.seek(0), End: () => this.seek(this.clip.frames - 1), 0: () => this.reset(),
      };
      canvas.onkeydown = (e) => {
        if (!keys[e.key] || e.ctrlKey || e.metaKey || e.altKey) return;
        e.preventDefault();
        keys[e.key]();
      };
    }

    point(x, y) {  // names the node under the pointer
      let best = 144, node;
      (this.places || []).forEach(([px, py], i) => {
        const d = (px - x) ** 2 + (py - y) ** 2;
        if (d < best) [best, node] = [d, i];
      });
      if (node !== this.node) { this.node = node; this.redraw(); }
    }

    redraw() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.draw(); });
    }

    draw() {
      const { canvas, clip, count, data, turn } = this, dense = devicePixelRatio || 1;
      const [w, h] = [canvas.clientWidth, canvas.clientHeight];
      if (!w || !h) return;
      if (canvas.width !== Math.round(w * dense)) canvas.width = Math.round(w * dense);
      if (canvas.height !== Math.round(h * dense)) canvas.height = Math.round(h * dense);
      const style = getComputedStyle(canvas), shade = (name) => style[name].match(/[\d.]+/g).slice(0, 3).map(Number);
      const [paper, ink, faint, accent] = ["backgroundColor", "color", "borderTopColor", "accentColor"].map(shade);
      const pen = canvas.getContext("2d");
      pen.setTransform(dense, 0, 0, dense, 0, 0);
      pen.clearRect(0, 0, w, h);
      const size = (0.46 * Math.min(w, h) * this.zoom) / this.reach, c = this.centre(this.frame), items = [];
      const place = (array, frame) => Array.from({ length: count }, (_, k) => {
        const at = 3 * (frame * count + k), d = [0, 1, 2].map((j) => {
          const truth = this.truth[at + j];
          return truth + (array === this.truth ? 0 : this.magnified * (array[at + j] - truth)) - c[j];
        });
        const [x, y, z] = [0, 1, 2].map((r) => turn[3 * r] * d[0] + turn[3 * r + 1] * d[1] + turn[3 * r + 2] * d[2]);
        return [w / 2 + size * x, h / 2 - size * y, z / this.reach];
      });
      const put = (array, kind) => {
        // Of two at one place the forecast, whose colours say more, is in front.
        const front = kind === "forecast" ? 0.03 : 0, at = place(array, this.frame), thin = this.forecast && kind === "truth" ? 0.8 : 1;
        const byError = this.colour === "error" && this.errors;
        const own = (k) => {
          if (!byError) return rgb(data.colours[k]);
          return kind === "truth" ? faint : ramp(this.errors[this.frame * count + k] / this.largest);
        };
        const stick = this.forecast ? (kind === "truth" ? faint : accent) : mix(ink, paper, 0.45);
        for (const [i, j] of data.edges) {
          const width = 0.7 * Math.min(data.radii[i], data.radii[j]) * size * thin;
          items.push([Math.min(at[i][2], at[j][2]) - 1e-6 + front, stick, at[i], at[j], Math.max(width, 1)]);
        }
        at.forEach((p, k) => items.push([p[2] + front, own(k), p, null, Math.max(data.radii[k] * size * thin, 1.5)]));
        return at;
      };
      const drawn = ["truth", "forecast"].filter((kind) => this[kind] && this.shown[kind]);
      for (const kind of drawn) this.places = put(this[kind], kind);
      items.sort((a, b) => a[0] - b[0]);
      pen.lineCap = "round";
      for (const [z, colour, p, q, width] of items) {
        const far = Math.min(Math.max(0.35 - 0.35 * z, 0), 0.6);  // what is behind fades
        pen.strokeStyle = pen.fillStyle = css(mix(colour, paper, far));
        pen.beginPath();
        if (q) {
          pen.lineWidth = width;
          pen.moveTo(p[0], p[1]);
          pen.lineTo(q[0], q[1]);
        } else {
          pen.arc(p[0], p[1], width, 0, 2 * Math.PI);
          pen.fill();
          pen.lineWidth = 0.8;
          pen.strokeStyle = css(mix(ink, paper, far + 0.2));
        }
        pen.stroke();
      }
      this.say(drawn);
    }

    say(drawn) {
      const { clip, count, data, errors, frame, node } = this;
      const time = clip.step ? `, ${digits(clip.start + frame * clip.step)} ${data.time_unit}` : "";
      let text = `frame ${frame + 1} of ${clip.frames}${time}`;
      if (errors) {
        const own = errors.slice(frame * count, (frame + 1) * count);
        const rms = Math.sqrt(own.reduce((s, e) => s + e * e, 0) / count);
        text += `, error ${digits(rms)} ${data.unit} (r.m.s.)`;
      }
      if (node !== undefined) {
        text += `; ${data.names[node]}${errors ? `: ${digits(errors[frame * count + node])} ${data.unit}` : ""}`;
      }
      this.says.textContent = text;
      const what = drawn.length ? drawn.join(" and ") : "nothing";
      this.canvas.setAttribute("aria-label", `${count} points in 3-D, ${clip.label}: ${what}, ${text}`);
      const coloured = errors && this.colour === "error" && this.shown.forecast;
      this.legend.textContent = "";
      if (!coloured) return;
      element("span", this.legend, { textContent: "error 0" });
      element("span", this.legend, { className: "ramp" }).style.background = `linear-gradient(90deg,${RAMP})`;
      element("span", this.legend, { textContent: `${digits(this.largest)} ${data.unit} and more` });
      element("span", this.legend, { textContent: "grey: truth" });
    }
  }

  function start() {
    for (const root of document.querySelectorAll(".viewer")) {
      const json = root.querySelector("script");
      if (json && !root.viewer) root.viewer = new Viewer(root, JSON.parse(json.textContent));
    }
    const button = document.querySelector("#theme");
    if (!button) return;
    const page = document.documentElement;
    button.hidden = false;
    button.onclick = () => {
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      page.dataset.theme = (page.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
      dispatchEvent(new Event("theme"));
    };
  }
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();

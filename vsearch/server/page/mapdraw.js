// Drawing the map: dots from far, pictures from near.  x and y of the points are in [-1, 1].

export const COLOURS = [
  "#c2571a", "#2f7fb5", "#4d9a4f", "#b5467c", "#8a6fd1", "#b08a1e", "#2a9d95", "#cf5b52",
  "#6b8e23", "#5470c6", "#a0693c", "#d17fa6", "#4f8f6f", "#9a5fb0", "#7a8794", "#d08a2d",
];
const NO_GROUP = "#9a9890";
const MOST_SEEN = 160;
const MOST_KEPT = 600;
const PICTURE = 52;
const ROOM = 64;
const REACH = 14;

export class Drawing {
  /** told: the answer of /map.  look: id to the address of a small picture. */
  constructor(canvas, told, look) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.points = told.points;
    this.look = look;
    this.by = 3;
    this.group = null;
    this.lit = new Set();
    this.kept = new Map();
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.due = false;
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    [this.width, this.height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  /** Pixels per unit: at scale 1 the whole map fits. */
  get unit() {
    return (Math.min(this.width, this.height * 1.6) / 2 - 40) * this.scale;
  }

  /** The map is drawn a little wider than high where there is room. */
  get flat() {
    return Math.min(1, (this.height / 2 - 30) / (Math.min(this.width, this.height * 1.6) / 2 - 40));
  }

  place(point) {
    return [this.width / 2 + (point[1] - this.x) * this.unit, this.height / 2 + (point[2] - this.y) * this.unit * this.flat];
  }

  pan(dx, dy) {
    this.x -= dx / this.unit;
    this.y -= dy / (this.unit * this.flat);
    this.draw();
  }

  zoom(by, px = this.width / 2, py = this.height / 2) {
    const before = this.unit;
    this.scale = Math.min(200, Math.max(0.6, this.scale * by));
    const kept = 1 / before - 1 / this.unit;
    this.x += (px - this.width / 2) * kept;
    this.y += ((py - this.height / 2) * kept) / this.flat;
    this.draw();
  }

  whole() {
    [this.scale, this.x, this.y] = [1, 0, 0];
    this.draw();
  }

  colour(by) {
    this.by = by === "tag" ? 4 : 3;
    this.only(null);
  }

  /** Show one group, and dim the others. */
  only(group) {
    this.group = group;
    this.draw();
  }

  light(ids) {
    this.lit = new Set(ids);
    this.draw();
  }

  /** The id nearest to a place, or null when none is near. */
  at(px, py, reach = Math.max(REACH, this.size * 0.7)) {
    let [best, least] = [null, reach * reach];
    for (const point of this.points) {
      const [x, y] = this.place(point);
      const away = (x - px) ** 2 + (y - py) ** 2;
      if (away < least) [best, least] = [point[0], away];
    }
    return best;
  }

  middle() {
    return this.at(this.width / 2, this.height / 2, Infinity);
  }

  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.paint();
    });
  }

  paint() {
    if (!this.width) return;
    this.context.clearRect(0, 0, this.width, this.height);
    const seen = [];
    for (const point of this.points) {
      const [x, y] = this.place(point);
      if (x > -60 && x < this.width + 60 && y > -60 && y < this.height + 60) seen.push([point, x, y]);
    }
    const near = seen.length <= MOST_SEEN;
    this.size = near ? PICTURE : 0;
    for (const each of seen) this.dot(...each, near);
    for (const each of near ? seen : this.apart(seen)) this.picture(...each);
    this.canvas.dataset.drawn = near ? "pictures" : "dots";
    this.context.globalAlpha = 1;
  }

  /** Of what is seen, pictures that leave each other room, the first come first. */
  apart(seen) {
    const cells = new Map();
    return seen.filter(([point, x, y]) => {
      if (this.group !== null && point[this.by] !== this.group) return false;
      const [column, row] = [Math.floor(x / ROOM), Math.floor(y / ROOM)];
      for (let dx = -1; dx <= 1; dx++) {
        for (let dy = -1; dy <= 1; dy++) {
          const other = cells.get(`${column + dx},${row + dy}`);
          if (other && Math.hypot(other[0] - x, other[1] - y) < ROOM) return false;
        }
      }
      cells.set(`${column},${row}`, [x, y]);
      return true;
    });
  }

  style(point) {
    const group = point[this.by];
    this.context.globalAlpha = this.group === null || this.group === group ? 0.85 : 0.12;
    return group >= 0 ? COLOURS[group % COLOURS.length] : NO_GROUP;
  }

  dot(point, x, y, near) {
    const { context } = this;
    context.fillStyle = this.style(point);
    const radius = near ? 4 : Math.max(1.6, Math.min(5, 2.2 + Math.log2(this.scale + 1) - this.points.length / 20000));
    context.beginPath();
    context.arc(x, y, this.lit.has(point[0]) ? radius + 2 : radius, 0, 2 * Math.PI);
    context.fill();
    if (!this.lit.has(point[0])) return;
    context.strokeStyle = getComputedStyle(this.canvas).color;
    context.lineWidth = 1.5;
    context.stroke();
  }

  picture(point, x, y) {
    const image = this.image(point[0]);
    if (!image.complete || !image.naturalWidth) return;
    const { context } = this;
    const colour = this.style(point);
    if (context.globalAlpha > 0.5) context.globalAlpha = 1;
    const scale = PICTURE / Math.max(image.naturalWidth, image.naturalHeight);
    const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
    context.save();
    context.beginPath();
    context.roundRect(x - w / 2, y - h / 2, w, h, 7);
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.stroke();
    context.clip();
    context.drawImage(image, x - w / 2, y - h / 2, w, h);
    context.restore();
  }

  image(id) {
    let image = this.kept.get(id);
    if (!image) {
      image = new Image();
      image.addEventListener("load", () => this.draw());
      image.src = this.look(id);
      this.kept.set(id, image);
      if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    return image;
  }
}

/** Rings of points, without a map. */

/** Whether a ring (not closed) crosses itself. */
export function crosses(ring) {
  const n = ring.length;
  for (let i = 0; i < n; i += 1) {
    for (let j = i + 2; j < n; j += 1) {
      if (i === 0 && j === n - 1) continue;
      if (meet(ring[i], ring[(i + 1) % n], ring[j], ring[(j + 1) % n])) return true;
    }
  }
  return false;
}

function meet(a, b, c, d) {
  const side = (p, q, r) => Math.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]));
  return side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b);
}

/** The mean of a ring's corners. */
export function middleOf(ring) {
  const mean = (k) => ring.reduce((sum, point) => sum + point[k], 0) / ring.length;
  return [mean(0), mean(1)];
}

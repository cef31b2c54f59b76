"use strict";
// Shows the rows that hold every word of the search field; the words of a row stand in its data-words.
const field = document.getElementById("search");
const rows = [...document.querySelectorAll("tbody tr")];
const count = document.getElementById("count");
function show() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let n = 0;
  for (const row of rows) {
    const hit = words.every((word) => row.dataset.words.includes(word));
    row.hidden = !hit;
    n += hit;
  }
  count.textContent = String(n);
}
field.addEventListener("input", show);

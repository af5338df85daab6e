# The losses of metrics.jsonl as a few lines of characters: "*" the mean loss of some steps, "o" held-out text.
function field(name) { return match($0, "\"" name "\":[-0-9.e+]+") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0 : "" }
function row_of(loss) { return int((high - loss) / (high - low) * (height - 1) + 0.5) }
{ loss[NR] = field("loss"); held_out[NR] = field("eval_loss") }
END {
  width = 72; height = 14
  for (i = 1; i <= NR; ++i) { column = int((i - 1) * width / NR); sum[column] += loss[i]; num[column]++ }
  for (c = 0; c < width; ++c) if (num[c]) {
    mean[c] = sum[c] / num[c]
    if (high == "" || mean[c] > high) high = mean[c]
    if (low == "" || mean[c] < low) low = mean[c]
  }
  for (i = 1; i <= NR; ++i) if (held_out[i] != "") {
    if (held_out[i] > high) high = held_out[i]
    if (held_out[i] < low) low = held_out[i]
  }
  for (c = 0; c < width; ++c) if (num[c]) mark[row_of(mean[c]), c] = "*"
  for (i = 1; i <= NR; ++i) if (held_out[i] != "") mark[row_of(held_out[i]), int((i - 1) * width / NR)] = "o"
  print "loss (* training, o held-out text)"
  for (r = 0; r < height; ++r) {
    line = ""
    for (c = 0; c < width; ++c) line = line ((r, c) in mark ? mark[r, c] : " ")
    printf "%6.2f |%s\n", high - r * (high - low) / (height - 1), line
  }
  rule = sprintf("%" width "s", ""); gsub(/ /, "-", rule)
  printf "%6s +%s\n%8s%-" (width - 4) "s%4d steps\n", "", rule, "", "1", NR
}

#include "report/style.h"

namespace switchyard::report {

// Colours of parts (c0 …) after Okabe and Ito, yellow made indigo and the last grey, for "other": told apart with any
// colour vision. Those of heat maps (h0 …) change evenly in lightness, so that a grey print orders them too.
const std::string_view kStyle = R"css(
:root{color-scheme:light;--page:#f6f7f8;--card:#fff;--text:#1b2126;--soft:#56616b;--edge:#dfe3e7;--grid:#e9ecef;
--accent:#0b62a4;--warning:#9a4a00;--warning-ground:#fff6ea;
--c0:#0072b2;--c1:#e69f00;--c2:#009e73;--c3:#cc79a7;--c4:#56b4e9;--c5:#d55e00;--c6:#4b3f99;--c7:#9aa3ab;
--h0:#e3eef9;--h1:#cbdff1;--h2:#abcfe6;--h3:#82badb;--h4:#59a1cf;--h5:#3787c0;--h6:#1b6aaf;--h7:#084d96;--h8:#08306b;--ground:#f8f9fa}
@media screen and (prefers-color-scheme:dark){
:root{color-scheme:dark;--page:#14181c;--card:#1b2025;--text:#e4e8eb;--soft:#9ba6b0;--edge:#2e353c;--grid:#2a3138;
--accent:#6db5ee;--warning:#f3b266;--warning-ground:#2b2318;
--c0:#3d9be0;--c1:#e0a52e;--c2:#2bb38a;--c3:#d48fb5;--c4:#86cdf5;--c5:#e5733b;--c6:#a398ee;--c7:#7d8790;
--h0:#1d2d3d;--h1:#1d3c56;--h2:#1d4d71;--h3:#205f8d;--h4:#2a74a9;--h5:#428bc1;--h6:#6ba5d4;--h7:#9ac3e5;--h8:#d3e7f7;--ground:#1f252b}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:anywhere}
main{max-width:82rem;margin:0 auto;padding:2rem clamp(.75rem,3vw,2.5rem) 4rem}
h1{font-size:1.75rem;line-height:1.2;font-weight:650;letter-spacing:-.01em;margin:0}
h2{font-size:1.2rem;line-height:1.3;font-weight:620;margin:2.5rem 0 .75rem}
p,ul,dl,dd,figure{margin:0}
.subtitle{color:var(--soft);margin-top:.35rem}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin-top:1rem;font-size:.9rem}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
.blocks{display:flex;flex-wrap:wrap;gap:1rem;align-items:stretch}
.blocks>*{flex:1 1 28rem;min-width:0}
.blocks>.wide{flex-basis:100%}
.card{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:.9rem 1.1rem 1rem}
figcaption{font-weight:600;font-size:.95rem;line-height:1.35;margin-bottom:.6rem}
.remark,.empty,.ramp{color:var(--soft);font-size:.82rem;line-height:1.4}
.remark{margin-top:.35rem}
.plot+.remark,.rows+.remark{margin-top:.6rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,10.5rem),1fr));gap:1rem}
@media (min-width:900px){.tiles{grid-template-columns:repeat(var(--columns),1fr)}}
.tiles .card{padding:.7rem 1rem .8rem}
.tiles dt{color:var(--soft);font-size:.82rem;line-height:1.35}
.tiles dd:not(.remark){font-size:1.45rem;line-height:1.3;font-weight:600;letter-spacing:-.01em;font-variant-numeric:tabular-nums;margin-top:.1rem}
.tiles small{font-size:.9rem;font-weight:400;letter-spacing:0;color:var(--soft)}
.tiles .remark{margin-top:.1rem}
.note{background:var(--card);border:1px solid var(--edge);border-left:3px solid var(--accent);border-radius:4px;padding:.55rem .9rem;font-size:.92rem}
.warning{background:var(--warning-ground);border-left-color:var(--warning)}
.warning strong{color:var(--warning);margin-right:.3rem}
.definitions{display:grid;grid-template-columns:minmax(5rem,auto) 1fr;gap:.4rem 1.25rem;font-size:.92rem}
.definitions dt{color:var(--soft);max-width:14rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.32rem .9rem .32rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid);min-width:3.5rem;unicode-bidi:isolate}
th:last-child,td:last-child{padding-right:0}
th{color:var(--soft);font-weight:500;font-size:.82rem;vertical-align:bottom;border-bottom-color:var(--edge)}
tbody tr:last-child td{border-bottom:0}
td:first-child{min-width:7rem}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;overflow-wrap:normal}
th.number{white-space:normal}
svg{display:block;overflow:visible;print-color-adjust:exact;-webkit-print-color-adjust:exact}
text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}
.plot{padding:0 14px 40px 0}
.stretched{overflow:hidden}
.grid{stroke:var(--grid)}
.tick{stroke:var(--edge)}
.bar{fill:var(--accent)}
.axes .bar{stroke:var(--card);stroke-width:.75}
.line{fill:none;stroke:var(--accent);stroke-width:1.6;stroke-linejoin:round;vector-effect:non-scaling-stroke}
.l0{stroke:var(--c0)}.l1{stroke:var(--c1)}.l2{stroke:var(--c2)}.l3{stroke:var(--c3)}.l5{stroke:var(--c5)}
.range{stroke:var(--text);stroke-width:1.4}
.spot{fill:var(--accent)}
.band{fill:var(--soft);fill-opacity:.08}
.target{fill:transparent}
.target:hover{fill:var(--accent);fill-opacity:.18}
.plot{container-type:inline-size}
.from500,.from800,.from1100{display:none}
@container (min-width:500px){.from500{display:inline}}
@container (min-width:800px){.from800{display:inline}}
@container (min-width:1100px){.from1100{display:inline}}
.stretched path:not(.line){shape-rendering:crispEdges}
.ground{fill:var(--ground)}
.missing{fill:var(--c7)}
.rows{display:grid;grid-template-columns:minmax(0,min(var(--label),34%)) minmax(0,1fr) auto;gap:.4rem .75rem;align-items:center;font-size:.85rem;line-height:1.3}
.rows svg{height:.95rem}
.rows .scale{height:16px}
.rows .value{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.many{font-size:.75rem;gap:.1rem .75rem}
.many svg{height:.7rem}
.part{stroke:var(--card);stroke-width:1}
.legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin-bottom:.75rem;font-size:.82rem;color:var(--soft)}
.legend li{display:flex;gap:.4rem;align-items:baseline}
.legend svg{flex:none}
.ramp{display:flex;flex-wrap:wrap;align-items:center;gap:.2rem .6rem;font-variant-numeric:tabular-nums}
.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c5{fill:var(--c5)}.c6{fill:var(--c6)}.c7{fill:var(--c7)}
.h0{fill:var(--h0)}.h1{fill:var(--h1)}.h2{fill:var(--h2)}.h3{fill:var(--h3)}.h4{fill:var(--h4)}.h5{fill:var(--h5)}.h6{fill:var(--h6)}.h7{fill:var(--h7)}.h8{fill:var(--h8)}
@media (max-width:600px){.scale text:not(:first-child):not(:last-child){display:none}.card{padding:.75rem .8rem .85rem}.definitions{grid-template-columns:1fr;gap:0}.definitions dd{margin-bottom:.5rem}.tiles{grid-template-columns:1fr 1fr;gap:.6rem}.tiles dd:not(.remark){font-size:1.15rem}}
@page{margin:15mm}
@media print{
:root{--page:#fff}
body{font-size:10pt}
main{max-width:none;padding:0}
nav{display:none}
h2{margin-top:1.5rem;break-after:avoid}
.blocks{display:block}
.blocks>*{margin-bottom:.8rem}
figure,.note,.tiles .card,tr{break-inside:avoid}
figure:has(table){break-inside:auto}
.scroll{overflow:visible}
}
)css";

}  // namespace switchyard::report

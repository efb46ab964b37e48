"""The look of a report: system fonts, light and dark, narrow and wide, and on paper. Nothing is fetched."""

STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1c2024;--soft:#5b6470;--line:#d5dae0;--panel:#f5f7f9;
--good:#176639;--bad:#b3201a;--open:#8a5300;--c0:#2f6db5;--c1:#b4541a;--c2:#2f7d4f;--c3:#8a4a9e;--c4:#a3304f;--c5:#5b6470}
@media(prefers-color-scheme:dark){:root{--back:#15181c;--text:#e4e7eb;--soft:#a0a9b4;--line:#3a424b;--panel:#1e2329;
--good:#6fcf97;--bad:#ff8a80;--open:#f0b45a;--c0:#74aee8;--c1:#eb9a62;--c2:#79c796;--c3:#c592d8;--c4:#ee86a4;--c5:#a0a9b4}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:64rem;background:var(--back);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}h2{font-size:1.25rem;margin:2.2rem 0 .6rem;padding-top:.6rem;
border-top:1px solid var(--line)}h3{font-size:1.05rem;margin:1.5rem 0 .4rem}p{margin:.5rem 0;max-width:46rem}
ul{margin:.5rem 0;padding-left:1.3rem;max-width:46rem}li{margin:.2rem 0}a{color:var(--c0)}
nav ul{display:flex;flex-wrap:wrap;gap:.1rem 1rem;list-style:none;padding:0;font-size:.9rem;max-width:none}
.verdict{display:inline-block;padding:.1rem .6rem;border:1px solid;border-radius:.3rem;font-weight:600}
.warn{border:2px solid var(--bad);border-radius:.4rem;padding:.6rem 1rem;margin:1rem 0}.warn strong{color:var(--bad)}
.wide{overflow-x:auto;margin:.6rem 0 1.2rem;
background:linear-gradient(to left,var(--back) 40%,transparent) right/2.5rem 100% no-repeat local,
linear-gradient(to left,var(--line),transparent) right/.8rem 100% no-repeat scroll}
table{border-collapse:collapse;font-size:.88rem;line-height:1.4;min-width:50%}
caption{text-align:left;font-weight:600;padding:.2rem 0 .4rem}
th,td{padding:.28rem .7rem .28rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);
overflow-wrap:normal;font-weight:400}
thead th{color:var(--soft);font-size:.8rem;white-space:nowrap;vertical-align:bottom}
tbody th{max-width:26rem}td{max-width:30rem}
td:not(.short,.number,.status),tbody th:not(.short){min-width:10rem}tbody .long{min-width:16rem}
.long,.name{overflow-wrap:anywhere}.short{white-space:nowrap}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.name,pre,code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.82rem}
.status{white-space:nowrap;font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
.left{color:var(--soft);font-size:.85rem}
pre{background:var(--panel);padding:.7rem .9rem;border-radius:.4rem;overflow-x:auto;white-space:pre}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--soft);font-size:.9rem}
figure{margin:1rem 0;max-width:31rem}figcaption{font-weight:600;font-size:.95rem}
figure p{font-size:.88rem;color:var(--soft)}
svg{display:block;width:100%;height:auto;margin:.4rem 0}
svg text{fill:var(--text);font-size:13px}svg .value{fill:var(--soft);font-size:12px}
svg .end{text-anchor:end}svg .middle{text-anchor:middle}svg .grid,svg .axis{stroke:var(--line)}
svg .limit{stroke:var(--bad);stroke-width:2}svg .m1{stroke:var(--open);stroke-dasharray:5 3}
svg .m2{stroke:var(--good);stroke-dasharray:2 2}
svg .line{fill:none;stroke-width:2}svg polyline.c0{stroke:var(--c0)}svg polyline.c1{stroke:var(--c1)}
svg polyline.c2{stroke:var(--c2)}svg polyline.c3{stroke:var(--c3)}svg polyline.c4{stroke:var(--c4)}
svg polyline.c5{stroke:var(--c5)}svg .bar.c0,svg .dot.c0{fill:var(--c0)}svg .bar.c1,svg .dot.c1{fill:var(--c1)}
svg .bar.c2,svg .dot.c2{fill:var(--c2)}svg .bar.c3,svg .dot.c3{fill:var(--c3)}svg .bar.c4,svg .dot.c4{fill:var(--c4)}
svg .bar.c5,svg .dot.c5{fill:var(--c5)}
@media print{:root{color-scheme:light;--back:#fff;--text:#000;--soft:#444;--line:#bbb;--panel:#f5f5f5;--good:#176639;
--bad:#b3201a;--open:#8a5300;--c0:#2f6db5;--c1:#b4541a;--c2:#2f7d4f;--c3:#8a4a9e;--c4:#a3304f;--c5:#5b6470}
body{max-width:none;padding:0;font-size:10pt}nav{display:none}.wide{overflow:visible}figure,tr{break-inside:avoid}
pre{white-space:pre-wrap}h2,h3{break-after:avoid}table{font-size:7.5pt}.name,code{font-size:7pt}
td:not(.short,.number,.status),tbody th:not(.short),tbody .long{min-width:0}
.short:not(.number,.status){white-space:normal}th,td{padding-right:.35rem}thead th{font-size:7pt}
.wide{background:none}details::details-content{content-visibility:visible}}
"""

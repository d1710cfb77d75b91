#!/bin/sh
# What masks are worth on photographs: ResNet-18 learns from composites with true masks, Felzenszwalb's, those of other
# images, one region for all, or not at all, for each of SEEDS; each is served and judged by held-out objects (kinds of
# regions: nearest neighbours and a linear probe) and by a segmentation head on its frozen features (mIoU).
#
#   SEEDS="0 1 2 3" STEPS=800 IMAGES=4000 scripts/learn_photographs.sh [OUT]
#
# The photographs come from Debian packages (apt-get download) and stay in OUT.
set -eu
programs=${PROGRAMS:-target/release}
out=${1:-target/learn-photographs}
steps=${STEPS:-800} seeds=${SEEDS:-0} images=${IMAGES:-4000} epochs=${EPOCHS:-20} port=${PORT:-18480}
recipe=${RECIPE:-trainer/recipes/photographs.toml}
scripts=$(dirname "$0")
export PYTHONPATH="${PYTHONPATH:-$(pwd)/.deps/scikit-image}"

if [ ! -d "$out/packages/usr" ]; then
	mkdir -p "$out/packages"
	(cd "$out/packages" && apt-get download tuxpaint-stamps-default mate-backgrounds plasma-workspace-wallpapers &&
		for package in *.deb; do dpkg -x "$package" .; rm "$package"; done)
fi
rm -rf "$out/data" "$out/shards" "$out/runs" "$out/models" "$out/results.jsonl"
python3 "$scripts/photographs.py" --packages "$out/packages" --out "$out/data" --images "$images"
for masks in true shuffled whole; do
	"$programs/detcon-train" masks --input "$out/data/train" --label-maps "$out/data/masks/$masks" --shards 4 \
		--output "$out/shards/$masks" >/dev/null
done
"$programs/detcon-train" masks --input "$out/data/train" --scale 100 --min-size 150 --shards 4 \
	--output "$out/shards/felzenszwalb" >/dev/null

mkdir -p "$out/models"
classes="$out/data/classes.txt"
judge() { # MODEL VARIANT SEED
	"$programs/detcon-train" finetune "$out/models/$1" --images "$out/data/head/images" --labels "$out/data/head/labels" \
		--validation-images "$out/data/test/images" --validation-labels "$out/data/test/labels" \
		--classes "$classes" --head kinds --features c4 --size 192 --epochs "$epochs" >/dev/null
	"$programs/detcon-server" --models "$out/models" --listen "127.0.0.1:$port" --no-playground >"$out/server.log" 2>&1 &
	server=$!
	trap 'kill $server 2>/dev/null || true' EXIT
	python3 - "http://127.0.0.1:$port/readyz" <<'END'
import sys, time, urllib.request
for _ in range(300):
    try:
        urllib.request.urlopen(sys.argv[1]).read()
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("the server does not start")
END
	python3 "$scripts/judge_photographs.py" "http://127.0.0.1:$port" "$out/data" "$1" >"$out/judged.json"
	kill $server
	wait $server 2>/dev/null || true
	trap - EXIT
	python3 - "$out" "$@" <<'END'
import json, sys
out, model, variant, seed = sys.argv[1:]
manifest = json.load(open(f"{out}/models/{model}/manifest.json"))
row = {"masks": variant, "seed": int(seed), **json.load(open(f"{out}/judged.json"))}
row["miou"] = manifest["segmentation_heads"]["kinds"]["quality"]["mean_iou"]
try:
    last = json.loads(open(f"{out}/runs/{variant}.{seed}/metrics.jsonl").readlines()[-1])
    row.update({key: last[key] for key in ("contrast", "floor", "chance")})
except OSError:
    pass
print(json.dumps(row), flush=True)
open(f"{out}/results.jsonl", "a").write(json.dumps(row) + "\n")
END
}

for seed in $seeds; do
	for masks in untrained whole shuffled felzenszwalb true; do
		shards=$masks length=$steps
		if [ "$masks" = untrained ]; then
			shards=true length=1 # of which the rate is 0
		fi
		run="$out/runs/$masks.$seed"
		"$programs/detcon-train" pretrain --recipe "$recipe" --set duration.steps="$length" --set seed="$seed" \
			--set warmup.steps="$((length / 10 + 1))" --data "$out/shards/$shards" --run "$run" --checkpoint-every 100000
		"$programs/detcon-train" export "$run" --to "$out/models/$masks-$seed" --license GPL-2.0-or-later >/dev/null
		judge "$masks-$seed" "$masks" "$seed"
	done
done
python3 - "$out/results.jsonl" <<'END'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
figures = ("same_kind", "linear_kind", "same_object", "miou")
print("| masks | " + " | ".join(figures) + " |\n| --- |" + " --- |" * len(figures))
for masks in dict.fromkeys(row["masks"] for row in rows):
    cells = []
    for figure in figures:
        values = [row[figure] for row in rows if row["masks"] == masks]
        spread = f" ± {statistics.stdev(values) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.3f}{spread}")
    print(f"| {masks} | " + " | ".join(cells) + " |")
END

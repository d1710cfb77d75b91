#!/bin/sh
# The run that learns: ResNet-18 on drawn objects, once with their masks and once with those of other images, for each of
# SEEDS. It prints how well nearest neighbours classify images by the features before, with shuffled masks, and with true
# ones. With GO_ON=1 it goes on where it was: runs that are over stay.
set -eu
train=${TRAIN:-target/release/detcon-train}
out=${1:-target/learn}
steps=${STEPS:-300} seeds=${SEEDS:-0}
[ "${GO_ON:-}" ] || rm -rf "$out"
if [ ! -d "$out/objects" ]; then
	rm -rf "$out/objects.partial"
	"$train" objects --output "$out/objects.partial"
	mv "$out/objects.partial" "$out/objects"
fi
for seed in $seeds; do
	for masks in train shuffled; do
		"$train" pretrain --recipe trainer/recipes/objects.toml --set duration.steps="$steps" --set seed="$seed" \
			--data "$out/objects/$masks" --run "$out/$masks.$seed" --knn "$out/objects/labelled" --knn-every 100
		"$train" report "$out/$masks.$seed"
	done
done
python3 - "$out" $seeds <<'END'
import json, statistics, sys
out, *seeds = sys.argv[1:]
def accuracies(run, seed):
    lines = map(json.loads, open(f"{out}/{run}.{seed}/metrics.jsonl"))
    return [line["knn"] for line in lines if "knn" in line]
rows = []
for seed in seeds:
    true, shuffled = accuracies("train", seed), accuracies("shuffled", seed)
    rows.append((true[0], shuffled[-1], true[-1]))
    print(f"kNN accuracy of seed {seed}: untrained %.3f, shuffled masks %.3f, true masks %.3f" % rows[-1])
means = [statistics.mean(column) for column in zip(*rows)]
print("kNN accuracy: untrained %.3f, shuffled masks %.3f, true masks %.3f" % tuple(means))
sys.exit(not means[0] < means[1] < means[2])
END

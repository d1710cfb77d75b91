#!/bin/sh
# The run that learns: ResNet-18 on drawn objects, once with their masks and once with those of other images. It prints
# how well nearest neighbours classify images by the features before, with shuffled masks, and with true ones.
set -eu
train=${TRAIN:-target/release/detcon-train}
out=${1:-target/learn}
steps=${STEPS:-300}
rm -rf "$out"
"$train" objects --output "$out/objects"
for masks in train shuffled; do
	"$train" pretrain --recipe trainer/recipes/objects.toml --set duration.steps="$steps" --data "$out/objects/$masks" \
		--run "$out/$masks" --knn "$out/objects/labelled" --knn-every 100
	"$train" report "$out/$masks"
done
python3 - "$out" <<'END'
import json, sys
def accuracies(run):
    lines = map(json.loads, open(f"{sys.argv[1]}/{run}/metrics.jsonl"))
    return [line["knn"] for line in lines if "knn" in line]
true, shuffled = accuracies("train"), accuracies("shuffled")
print(f"kNN accuracy: untrained {true[0]:.3f}, shuffled masks {shuffled[-1]:.3f}, true masks {true[-1]:.3f}")
sys.exit(not true[0] < shuffled[-1] < true[-1])
END

#!/bin/sh
# What masks are worth on photographs: ResNet-18 learns from composites with true masks, Felzenszwalb's, those of other
# images, one region for all, or not at all, for each of SEEDS; each is served and judged by held-out objects (regions:
# nearest neighbours and a linear probe) and by segmentation heads on its frozen features (mIoU).
#
#   SEEDS="0 1 2 3" STEPS=800 IMAGES=4000 MASKS="untrained whole shuffled felzenszwalb true" scripts/learn_photographs.sh [OUT]
#
# The photographs come from Debian packages (apt-get download) and stay in OUT. Started again with the same OUT it goes on
# where it was: what was drawn and judged stays. Several may share an OUT that has its data, each with its own PORT.
set -eu
programs=${PROGRAMS:-target/release}
out=${1:-target/learn-photographs}
steps=${STEPS:-800} seeds=${SEEDS:-0} images=${IMAGES:-4000} epochs=${EPOCHS:-60} port=${PORT:-18480}
arms=${MASKS:-untrained whole shuffled felzenszwalb true}
recipe=${RECIPE:-trainer/recipes/photographs.toml}
scripts=$(dirname "$0")
export PYTHONPATH="${PYTHONPATH:-$(pwd)/.deps/scikit-image}"
mkdir -p "$out/runs" "$out/models" "$out/results"

if [ ! -d "$out/packages" ]; then
	rm -rf "$out/packages.partial"
	mkdir "$out/packages.partial"
	(cd "$out/packages.partial" && apt-get download tuxpaint-stamps-default mate-backgrounds plasma-workspace-wallpapers &&
		for package in *.deb; do dpkg -x "$package" .; rm "$package"; done)
	mv "$out/packages.partial" "$out/packages"
fi
if [ ! -d "$out/data" ]; then
	rm -rf "$out/data.partial"
	python3 "$scripts/photographs.py" --packages "$out/packages" --out "$out/data.partial" --images "$images"
	for masks in true shuffled whole; do
		"$programs/detcon-train" masks --input "$out/data.partial/train" --label-maps "$out/data.partial/masks/$masks" \
			--shards 4 --output "$out/data.partial/shards/$masks" >/dev/null
	done
	"$programs/detcon-train" masks --input "$out/data.partial/train" --scale 100 --min-size 150 --shards 4 \
		--output "$out/data.partial/shards/felzenszwalb" >/dev/null
	mv "$out/data.partial" "$out/data"
fi

learn() { # MASKS SEED
	shards=$1 length=$steps
	if [ "$1" = untrained ]; then
		shards=true length=1 # of which the rate is 0
	fi
	"$programs/detcon-train" pretrain --recipe "$recipe" --set duration.steps="$length" --set seed="$2" \
		--set warmup.steps="$((length / 10 + 1))" --data "$out/data/shards/$shards" --run "$out/runs/$1.$2" \
		--checkpoint-every 100000
	"$programs/detcon-train" export "$out/runs/$1.$2" --to "$out/models/$1.$2/$1" --force \
		--license GPL-2.0-or-later >/dev/null
}

teach() { # MODEL LABELS
	"$programs/detcon-train" finetune "$1" --images "$out/data/head/images" --labels "$out/data/head/$2" \
		--validation-images "$out/data/test/images" --validation-labels "$out/data/test/$2" \
		--classes "$out/data/$2.txt" --head "$2" --features c4 --size 192 --epochs "$epochs" >/dev/null
}

judge() { # MASKS SEED
	store=$out/models/$1.$2
	teach "$store/$1" kinds
	teach "$store/$1" objects
	"$programs/detcon-server" --models "$store" --listen "127.0.0.1:$port" --no-playground >"$store.log" 2>&1 &
	server=$!
	trap 'kill $server 2>/dev/null || true' EXIT
	python3 "$scripts/judge_photographs.py" "http://127.0.0.1:$port" "$out/data" "$store/$1" "$out/runs/$1.$2" \
		>"$out/results/$1.$2.partial"
	kill $server
	wait $server 2>/dev/null || true
	trap - EXIT
	mv "$out/results/$1.$2.partial" "$out/results/$1.$2.json"
	cat "$out/results/$1.$2.json"
}

for seed in $seeds; do
	for masks in $arms; do
		if [ ! -f "$out/results/$masks.$seed.json" ]; then
			learn "$masks" "$seed"
			judge "$masks" "$seed"
		fi
	done
done
python3 "$scripts/judge_photographs.py" --table "$out/results" $arms

#!/bin/bash
# Colorize an archive on the nodes of a SLURM cluster: sbatch examples/ray/slurm.sh
#
# All nodes need ColorizeNet with the extras cpu and ray in the environment below, and reach
# INPUT and OUTPUT: a shared file system, or an object store and its credentials.
#SBATCH --job-name=colorizenet
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00

set -euo pipefail

INPUT=${INPUT:-s3://archive/scans}
OUTPUT=${OUTPUT:-s3://archive/colored}
ENVIRONMENT=${ENVIRONMENT:-$HOME/colorizenet/.venv}
PORT=6379

source "$ENVIRONMENT/bin/activate"
export RAY_USAGE_STATS_ENABLED=0
# Since SLURM 22.05, srun does not take the number of cores from sbatch.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
    ray start --head --node-ip-address="$address" --port="$PORT" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false --block &
sleep 20
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
        --exclude="$head" --overlap \
        ray start --address="$address:$PORT" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
    sleep 20
fi

# The driver runs on the first node. The same job, submitted again, goes on where a job ended.
srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
    colorizenet colorize "$INPUT" --out "$OUTPUT" --engine ray --ray-address "$address:$PORT" \
    --concurrency $((SLURM_JOB_NUM_NODES * SLURM_CPUS_PER_TASK))

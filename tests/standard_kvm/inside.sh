#!/bin/sh
# What runs on the machine with standard KVM: inside.sh FOLDER. It needs no Python there. Each
# line of FOLDER/programs is the seconds that one may take, its name, and its command.
cd "$1" || exit 1
[ ! -e /sys/module/kvm_pvm ] || { echo "=== this KVM is PVM"; exit 1; }
mkfifo "/tmp/keeper.$$" || exit 1
./keeper <"/tmp/keeper.$$" &
exec 3>"/tmp/keeper.$$"
rm "/tmp/keeper.$$"
while read -r seconds name command; do
    started=$(date +%s)
    echo "=== begins $name"
    # shellcheck disable=SC2086 # words of a command
    timeout -k 5 "$seconds" $command 3>&- </dev/null 2>&1
    echo "=== ends $name $? $(($(date +%s) - started))"
done <programs
exec 3>&-
wait
echo "=== all"

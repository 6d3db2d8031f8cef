#!/bin/sh
# python.sh SCRIPT ARGS...: runs a development test with $PPT_PYTHON, else python3; exit
# status 77 (skipped) where there is none. The product and its default tests need none.
python=${PPT_PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    echo "skipped: there is no $python"
    exit 77
fi
exec "$python" "$@"

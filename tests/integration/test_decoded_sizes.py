"""The memory of a process that reads small files which unpack to very much."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def test_parquet_that_decodes_to_gigabytes_needs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 128 + [1]), pa.array(["a" * 20_000_000, "short"]))
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 25_000
    program = f"""
from pathlib import Path
from kpray.corpus.records import read_records
*rejects, last = read_records([{str(path)!r}], lang="en")
print(len(rejects), rejects[0].reason)
print(last.document.body)
[peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 2**10)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    rejects, last, mebibytes = ended.stdout.splitlines()
    assert rejects.startswith("128 the row is larger than the limit of 16777216 bytes")
    assert last == "short"
    assert int(mebibytes) < 1000

#!/usr/bin/env python3
"""torch_kernels.py -- single convolutions and matrix products beside PyTorch's oneDNN and MKL, in turns, one core

usage: torch_kernels.py [--peers build/peers] [--cnnc build/bin/cnnc] [--batch 4] [--out FILE]
                        [--seconds S] REGEX|M,N,K …
  REGEX    convolutions whose line in tests/bench/convs.sh matches, forward and both gradients
  M,N,K    a matrix product

Prints lines as convs.sh does, with the library's time and name in the place of Debian's oneDNN: in one file with its
lines they become one table (convs.sh --table). --out appends them and leaves out what the file has; after --seconds
nothing more is started, and exit code 3 says that more is to do.
Products: "matmul M N K cnnc_ms gflops peak_share MKL_ms version".
PyTorch runs at its best: no page faults of malloc, MKL's vendor check overridden, the better of contiguous and
channels_last. Turns: PyTorch, cnnc, PyTorch, three slices each; medians of all calls.
"""
import argparse, json, os, re, statistics, subprocess, sys, tempfile, time
import compare

ROUNDS = 3


def shapes(pattern):
    """Lines of the list in convs.sh: net H W C K R S stride pad groups."""
    with open(os.path.join(compare.TOP, 'tests/bench/convs.sh')) as f:
        lines = [line.strip() for line in f]
    return [v for v in lines if re.fullmatch(r'\S+( \d+){9}', v) and re.search(pattern, v)]


def torch_slices(child, line, times):
    for _ in range(ROUNDS):
        child.stdin.write(line + '\n')
        child.stdin.flush()
        answer = json.loads(child.stdout.readline() or '{}')
        if not answer:
            sys.exit('PyTorch ended at ' + line)
        for name, ms in answer['ms'].items():
            times.setdefault(name, []).extend(ms)
    return answer['version'].split('+')[0]


def cnnc_line(a, op, words, shape):
    """The figures of one operation as convs.sh prints them, or "cnnc_ms gflops share" of a product."""
    if shape is None:
        command = [a.cnnc, 'bench', '--op', op, '--shape', words, '--threads', '1', '--json']
        r = compare.run_json(compare.pinned(1) + command)
        if 'error' in r:
            sys.exit(r['error'])
        ours = next(t for t in r['times'] if t['name'] == 'cnnc')
        return [ours['median_ms'], ours['gflops'], ours['peak_share']]
    env = dict(os.environ, OPS=op, BATCH=str(a.batch), BUILD=os.path.dirname(os.path.dirname(a.cnnc)), DNNL='/nowhere')
    r = subprocess.run(['sh', os.path.join(compare.TOP, 'tests/bench/convs.sh'), f'^{shape}$'], env=env,
                       capture_output=True, text=True, check=True)
    return r.stdout.split()[12:15]


def head_of(a, op, words, shape):
    return f'{op} {a.batch} {shape}' if shape else f'{op} {words.replace(",", " ")}'


def one(a, child, op, words, shape):
    times, line = {}, f'{op} {words.replace(",", " ")}'
    torch_slices(child, line, times)
    ours = cnnc_line(a, op, words, shape)
    version = torch_slices(child, line, times)
    best = min(statistics.median(ms) for ms in times.values())
    words = [head_of(a, op, words, shape), *ours, f'{best:.6g}', 'torch-' + version] + ([0] if shape else [])
    answer = ' '.join(map(str, words))
    print(answer, flush=True)
    if a.out:
        with open(a.out, 'a') as f:
            f.write(answer + '\n')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('what', nargs='+')
    p.add_argument('--cnnc', default='build/bin/cnnc')
    p.add_argument('--peers', default='build/peers')
    p.add_argument('--results', default='build/compare.jsonl')
    p.add_argument('--batch', type=int, default=4)
    p.add_argument('--ops', default='conv2d,conv2d_dx,conv2d_dw')
    p.add_argument('--out', help='lines are appended to it')
    p.add_argument('--seconds', type=float, default=0, help='start nothing after so long')
    a = p.parse_args()
    a.cnnc, a.peers = os.path.abspath(a.cnnc), os.path.abspath(a.peers)
    found, begin = compare.find_peers(a), time.monotonic()
    if 'torch' not in found:
        sys.exit('no Python of --peers has torch')
    work = []
    for what in a.what:
        if re.fullmatch(r'\d+,\d+,\d+', what):
            work.append(('matmul', what, None))
        else:
            work += [(op, f'{a.batch} {shape.split(" ", 1)[1]}', shape) for shape in shapes(what)
                     for op in a.ops.split(',')]
    if a.out and os.path.exists(a.out):
        with open(a.out) as f:
            done = [line for line in f if ' torch-' in line]
        work = [w for w in work if not any(line.startswith(head_of(a, *w) + ' ') for line in done)]
    with tempfile.TemporaryDirectory() as folder:
        a.vendor_check = compare.vendor_check(folder)
        script = os.path.join(compare.TOP, 'tests/peers/peer_kernels.py')
        child = subprocess.Popen(compare.pinned(1) + [found['torch'][0], script, '1'], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True, env=compare.environment(a, 'malloc mkl', 1))
        left = list(work)
        while left and not (a.seconds and time.monotonic() - begin > a.seconds):
            one(a, child, *left.pop(0))
        child.stdin.close()
        child.wait()
    sys.exit(3 if left else 0)


main()

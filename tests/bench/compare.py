#!/usr/bin/env python3
"""compare.py -- cnnc beside other frameworks, in turns, in one run; writes the tables of docs/performance.md

usage: compare.py [--cnnc build/bin/cnnc] [--peers build/peers] [--nets classifier,vgg,resnet18,lenet5,mobilenet_v2,efficientnet_b0,start]
                  [--cores 1,2] [--rounds 3] [--results build/compare.jsonl] [--write docs/performance.md]
                  [--only REGEX] [--all] [--seconds S] [--prepare] [--tables]

Peers are optional: a framework that no Python of --peers (PEERS/bin/python, PEERS/*/bin/python) nor this one can
import is listed as absent; a peer that fails is listed with the last line that it said. To have them all:
  for set in "torch" "tensorflow-cpu" "jax" "onnxruntime openvino onnx"; do
    name=${set%% *}; python3 -m venv build/peers/$name; build/peers/$name/bin/pip install $set numpy pyyaml; done

Order: A B A C A D …, cnnc before every peer; `taskset` pins both to core 0, or to cores 0 and 1. A peer whose every
median was more than 1.5 times the best in the first round is not run again (--all: it is). Peers run as installed, and
with what helps them: no page faults of malloc, MKL's vendor check overridden, channels_last and fused Adam, compilers.
Cells are the smallest time of all rounds / the median of the rounds' medians; ratios are of medians, to the best peer
of the same precision. `cnnc exact, augmented` also flips and shifts pictures of bytes; no peer does.

A measurement during which other processes took more than 5 % of its cores is taken again (at most --tries, 3, in all)
and counts only where there is no better one. Every measurement is a line of --results, and a call goes on where the
last one stopped: with --seconds 50 it stops after about that time, and exit code 3 says that more is to do. --prepare
runs what compiles once, so that it does not while time is taken. --tables only prints what is there.
"""
import argparse, array, glob, json, os, re, statistics, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(TOP, 'tests/bench/models')
BEGIN, END = ('<!-- written by tests/bench/compare.py: ' + word + ' here -->' for word in ('from', 'to'))
DROP, TIMEOUT, GUESS = 1.5, 400, 25
FOREIGN = 0.05
WORK = dict(train_step='training step', predict_batch='predict {batch}', predict_1='predict 1')
MALLOC = dict(MALLOC_MMAP_MAX_='0', MALLOC_TRIM_THRESHOLD_=str(1 << 40), MALLOC_TOP_PAD_=str(256 << 20))

# name, module, script, mode, environment, what it does, precision
PREDICTS, ALL = ('predict_batch', 'predict_1'), tuple(WORK)
PEERS = [
    ('TensorFlow function', 'tensorflow', 'peer_tensorflow.py', '', '', ALL, 'float32'),
    ('TensorFlow function, no faults', 'tensorflow', 'peer_tensorflow.py', '', 'malloc', ALL, 'float32'),
    ('TensorFlow XLA, no faults', 'tensorflow', 'peer_tensorflow.py', 'xla', 'malloc', ALL, 'float32'),
    ('PyTorch eager', 'torch', 'peer_torch.py', '', '', ALL, 'float32'),
    ('PyTorch eager, tuned', 'torch', 'peer_torch.py', 'fused', 'malloc mkl', ALL, 'float32'),
    ('PyTorch eager, channels_last, tuned', 'torch', 'peer_torch.py', 'cl-fused', 'malloc mkl', ALL, 'float32'),
    ('PyTorch compile, tuned', 'torch', 'peer_torch.py', 'compile-cl-fused', 'malloc mkl freeze', ALL, 'float32'),
    ('PyTorch max-autotune, tuned', 'torch', 'peer_torch.py', 'max-cl-fused', 'malloc mkl freeze', ALL, 'float32'),
    ('JAX', 'jax', 'peer_jax.py', '', '', ALL, 'float32'),
    ('JAX, no faults', 'jax', 'peer_jax.py', '', 'malloc', ALL, 'float32'),
    ('ONNX Runtime', 'onnxruntime', 'peer_onnx.py', 'ort', '', PREDICTS, 'float32'),
    ('ONNX Runtime, no faults', 'onnxruntime', 'peer_onnx.py', 'ort', 'malloc', PREDICTS, 'float32'),
    ('OpenVINO', 'openvino', 'peer_onnx.py', 'openvino', '', PREDICTS, 'float32'),
    ('OpenVINO, no faults', 'openvino', 'peer_onnx.py', 'openvino', 'malloc', PREDICTS, 'float32'),
    ('PyTorch bf16 autocast', 'torch', 'peer_torch.py', 'bf16', '', ALL, 'bfloat16'),
    ('PyTorch bf16 autocast, channels_last, tuned', 'torch', 'peer_torch.py', 'bf16-cl-fused', 'malloc mkl', ALL,
     'bfloat16'),
    ('PyTorch bf16 autocast, compile, tuned', 'torch', 'peer_torch.py', 'bf16-compile-cl-fused', 'malloc mkl freeze',
     ALL, 'bfloat16'),
]
EXACT = ('exact', [])
FAST = ('fast', ['build.math=fast'])
BF16 = ('mixed_bfloat16', ['build.precision=mixed_bfloat16'])
# net: what is measured, in which forms of ours; the last two: with bfloat16 peers, the same net with augmentation
NETS = {
    'classifier': (ALL, [EXACT, FAST, BF16], True, 'examples/classifier/classifier.yaml'),
    'vgg': (('train_step',), [EXACT, FAST], False, None),
    'resnet18': (('train_step',), [EXACT], False, None),
    'lenet5': (('train_step',), [EXACT], False, None),
    'mobilenet_v2': (('train_step',), [EXACT], False, None),
    'efficientnet_b0': (('train_step',), [EXACT], False, None),
}


# ---- running ----
def environment(a, words, cores):
    forcing = ('OPENBLAS_CORETYPE', 'LD_PRELOAD', *MALLOC)
    env = {k: v for k, v in os.environ.items() if k not in forcing}
    env.update(OMP_NUM_THREADS=str(cores), CUDA_VISIBLE_DEVICES='', TF_CPP_MIN_LOG_LEVEL='3',
               TORCHINDUCTOR_CACHE_DIR=os.path.join(os.path.dirname(os.path.abspath(a.results)), 'inductor'))
    if 'malloc' in words:
        env.update(MALLOC)
    if 'mkl' in words:
        env['LD_PRELOAD'] = a.vendor_check
    if 'freeze' in words:
        env['TORCHINDUCTOR_FREEZING'] = '1'
    return env


def vendor_check(folder):
    """A library that tells MKL that every processor is one of its maker's; without a C compiler, none."""
    source, library = os.path.join(folder, 'vendor.c'), os.path.join(folder, 'vendor.so')
    with open(source, 'w') as f:
        f.write('int mkl_serv_intel_cpu_true(void) { return 1; }\n')
    try:
        subprocess.run([os.environ.get('CC', 'cc'), '-shared', '-fPIC', '-o', library, source], check=True,
                       capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print('no C compiler: MKL keeps its vendor check', file=sys.stderr)
        return ''
    return library


def find_peers(a):
    """Module -> (interpreter, version); the first interpreter that has it, and PyYAML."""
    pythons = [p for p in [a.peers + '/bin/python'] + sorted(glob.glob(a.peers + '/*/bin/python')) if os.path.exists(p)]
    found = {}
    for module in dict.fromkeys(p[1] for p in PEERS):
        for python in pythons + [sys.executable]:
            code = f'import importlib.metadata as m, yaml; print(m.version(m.packages_distributions()["{module}"][0]))'
            r = subprocess.run([python, '-c', code], capture_output=True, text=True, env=environment(a, '', 1))
            if r.returncode == 0:
                found[module] = (python, r.stdout.strip())
                break
    return found


def pinned(cores):
    return ['taskset', '-c', ','.join(map(str, range(cores)))]


def last_line(text):
    """The last one that speaks of an error, where one does: compilers underline what they mean below it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search('error', line, re.IGNORECASE)]
    return (errors or lines or ['no message'])[-1][:200]


def run_json(command, env=None):
    """Its JSON, or {'error': its last line}."""
    try:
        r = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=env, cwd=TOP)
    except subprocess.TimeoutExpired:
        return dict(error=f'took longer than {TIMEOUT} s')
    except OSError as e:
        return dict(error=str(e))
    if r.returncode:
        return dict(error=f'exit {r.returncode}: {last_line(r.stderr or r.stdout)}')
    try:
        text = '\n' + r.stdout
        return json.loads(text[text.rindex('\n{'):])  # libraries may have said something before it
    except ValueError:
        return dict(error='no JSON: ' + last_line(r.stdout))


def peer_command(a, peer, net, cores, works, seconds):
    command = [a.found[peer[1]][0], os.path.join(TOP, 'tests/peers', peer[2]), f'{MODELS}/{net}.yaml',
               '--threads', str(cores), '--works', ','.join(works), '--seconds', str(seconds)]
    return command + (['--mode', peer[3]] if peer[3] else [])


def run_peer(a, peer, net, cores, works, seconds):
    command = pinned(cores) + peer_command(a, peer, net, cores, works, seconds)
    return run_json(command, environment(a, peer[4], cores))


def run_cnnc(a, model, define, cores):
    words = [w for d in define for w in ('-D', d)]
    r = run_json(pinned(cores) + [a.cnnc, 'bench', model, '--threads', str(cores), '--json'] + words)
    if 'error' in r:
        return r
    return dict(version=a.cnnc_version, works={w: r[w] for w in ALL if r.get(w)}, machine=r['machine'],
                memory=r['memory'], compile_ms=r['compile_ms'])


# ---- what is to be measured ----
def forms(a, net):
    """The forms of a net that this cnnc accepts: (name, file, definitions)."""
    _, ways, _, augmented = NETS[net]
    path = f'{MODELS}/{net}.yaml'
    out = []
    for name, define in ways:
        words = [w for d in define for w in ('-D', d)]
        r = run_json([a.cnnc, 'check', path, '--json'] + words)
        if 'error' in r:
            print(f'{net}, {name}: {r["error"]}', file=sys.stderr)
        else:
            out.append((name, path, define))
            a.parameters[net] = r['trainable']
    if augmented:
        out.append(('exact, augmented', os.path.join(TOP, augmented), []))
    return out


def wanted_peers(a, net):
    works, _, bf16, _ = NETS[net]
    for peer in PEERS:
        some = [w for w in works if w in peer[5]]
        if peer[1] in a.found and some and (bf16 or peer[6] == 'float32') and re.search(a.only, peer[0]):
            yield peer, some


def left_behind(a, net, cores, peer, works):
    """After the first round: more than DROP times the best in everything."""
    def median(name, work):
        return values(a, net, cores, name, work, 'median_ms', rounds=(1,)) or float('inf')
    rivals = [p[0] for p, _ in wanted_peers(a, net) if p[6] == peer[6]]
    for work in works:
        best = min(median(r, work) for r in rivals)
        if median(peer[0], work) <= DROP * best < float('inf'):
            return False
    return True


def net_slots(a, net, cores):
    """(record without its answer, call) in the order of measuring: one of our forms before every peer, in turn."""
    ours, peers = forms(a, net), list(wanted_peers(a, net))
    for number in range(1, a.rounds + 1):
        live = [(p, w) for p, w in peers if number == 1 or a.all or not left_behind(a, net, cores, p, w)]
        for turn in range(max(len(live), len(ours))):
            name, model, define = ours[turn % len(ours)]
            yield (dict(net=net, cores=cores, round=number, turn=turn, who=f'cnnc {name}'),
                   lambda m=model, d=define: run_cnnc(a, m, d, cores))
            if turn < len(live):
                peer, works = live[turn]
                yield (dict(net=net, cores=cores, round=number, turn=0, who=peer[0]),
                       lambda p=peer, w=works: run_peer(a, p, net, cores, w, a.slice))


def start_slots(a):
    """From exec to exit of one prediction, and the peak of memory."""
    for number in range(1, a.rounds + 1):
        yield dict(net='start', cores=2, round=number, turn=0, who='cnnc'), lambda: start_cnnc(a)
        seen = set()
        for peer in PEERS:
            if peer[1] in a.found and peer[1] not in seen and re.search(a.only, peer[0]):
                seen.add(peer[1])
                command = peer_command(a, peer, 'classifier', 2, ['predict_1'], 0)
                yield (dict(net='start', cores=2, round=number, turn=0, who=peer[0]),
                       lambda c=command: start_time(a, c, environment(a, '', 2)))


def start_time(a, command, env=None, cwd=TOP):
    """tests/tools/measure.c runs it: a process of Python's would count its own memory."""
    measure = os.path.join(os.path.dirname(os.path.dirname(a.cnnc)), 'tests/measure')
    try:
        r = subprocess.run([measure, '3', *command], capture_output=True, text=True, env=env, cwd=cwd)
    except OSError as e:
        return dict(error=str(e))
    if r.returncode:
        return dict(error=f'exit {r.returncode}: {last_line(r.stderr)}')
    low, middle, memory = (float(word) for word in r.stdout.split()[-3:])
    return dict(min_ms=low, median_ms=middle, memory=memory)


def npy(path, descr, shape, values):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += ' ' * (-(len(header) + 11) % 64) + '\n'
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header.encode() + values.tobytes())


def start_cnnc(a):
    """A predictor whose weights come from one step of its own trainer."""
    pixels = array.array('f', [i % 255 / 255 for i in range(32 * 64 * 64 * 3)])
    with tempfile.TemporaryDirectory() as folder:
        npy(folder + '/x.npy', '<f4', (32, 64, 64, 3), pixels)
        npy(folder + '/one.npy', '<f4', (1, 64, 64, 3), pixels[:64 * 64 * 3])
        npy(folder + '/y.npy', '<i4', (32,), array.array('i', [i % 2 for i in range(32)]))
        for command in ([a.cnnc, f'{MODELS}/classifier.yaml', '-o', 'net'], ['./net-train', 'epochs=1']):
            r = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if r.returncode:
                return dict(error=last_line(r.stderr))
        answer = start_time(a, ['./net', 'run', '--input', 'one.npy', '--output', 'p.npy'], cwd=folder)
        return dict(answer, bytes=os.path.getsize(folder + '/net'))


def foreign_seconds(cores):
    """Seconds that these cores have worked, less what this process and its children had of them."""
    with open('/proc/stat') as f:
        rows = [line.split() for line in f]
    names = [f'cpu{i}' for i in range(cores)]
    # user, nice, system, irq, softirq, steal
    ticks = sum(int(row[i]) for row in rows if row[0] in names for i in (1, 2, 3, 6, 7, 8))
    return ticks / os.sysconf('SC_CLK_TCK') - sum(os.times()[:4])


def disturbed(r):
    return r.get('foreign', 0) > FOREIGN


def take(a, slot, call):
    start, before = time.monotonic(), foreign_seconds(slot['cores'])
    record = dict(slot, **call())
    took = time.monotonic() - start
    share = (foreign_seconds(slot['cores']) - before) / (took * slot['cores'])
    record.update(took=round(took, 1), foreign=round(max(0, share), 3))
    wanted = a.parameters.get(slot['net'])
    if record.get('parameters', wanted) != wanted:
        record['error'] = f'{record["parameters"]} parameters instead of {wanted}'
    a.records.append(record)
    with open(a.results, 'a') as f:
        f.write(json.dumps(record) + '\n')
    show(record)


def measure(a):
    """False: time is up, and more is to do."""
    begin, ran, keys = time.monotonic(), False, ('net', 'cores', 'round', 'turn', 'who')
    for net in a.nets:
        for cores in (a.cores if net != 'start' else a.cores[-1:]):
            for slot, call in start_slots(a) if net == 'start' else net_slots(a, net, cores):
                while True:
                    same = [r for r in a.records if all(r[k] == slot[k] for k in keys)]
                    if len(same) >= a.tries or not all(map(disturbed, same or [dict(foreign=1)])):
                        break
                    known = [r['took'] for r in a.records if r['net'] == net and r['who'] == slot['who']]
                    if a.seconds and ran and time.monotonic() - begin + max(known, default=GUESS) > a.seconds:
                        return False
                    ran = True
                    take(a, slot, call)
    return True


def show(r):
    times = [f'{work} {t["min_ms"]:.2f}/{t["median_ms"]:.2f}' for work, t in r.get('works', {}).items()]
    text = r.get('error') or '  '.join(times) or f'{r["min_ms"]:.1f}/{r["median_ms"]:.1f} ms'
    print(f'{r["net"]} {r["cores"]} round {r["round"]} {r["who"]}: {text}' + ' (disturbed)' * disturbed(r), flush=True)


def prepare(a):
    for net in a.nets:
        for peer, works in wanted_peers(a, net) if net in NETS else ():
            if 'freeze' in peer[4] and not any(r['net'] == net and r['who'] == peer[0] for r in a.records):
                for cores in a.cores:
                    r = run_peer(a, peer, net, cores, works, 0)
                    print(f'{net} {cores} {peer[0]}: {r.get("error", "ready")}', flush=True)


# ---- tables ----
def values(a, net, cores, who, work, key, rounds=None):
    """Over the rounds: the smallest min_ms, the median of median_ms; None where nothing was measured."""
    rows = [r for r in a.records
            if (r['net'], r['cores'], r['who']) == (net, cores, who) and 'error' not in r and
            work in r.get('works', {}) and (not rounds or r['round'] in rounds)]
    found = [r['works'][work][key] for r in [r for r in rows if not disturbed(r)] or rows]
    return (min if key == 'min_ms' else statistics.median)(found) if found else None


def cell(a, net, cores, who, work):
    low, mid = (values(a, net, cores, who, work, k) for k in ('min_ms', 'median_ms'))
    return f'{number(low)} / {number(mid)}' if low else ''


def number(v):
    return f'{v:.3f}' if v < 1 else f'{v:.2f}' if v < 20 else f'{v:.1f}' if v < 100 else f'{v:.0f}'


def best_peer(a, net, cores, work, precision):
    found = [(values(a, net, cores, p[0], work, 'median_ms'), p[0]) for p in PEERS if p[6] == precision]
    return min((v for v in found if v[0]), default=(None, None))


def title(a, net, work):
    return WORK[work].format(batch=a.batch[net])


def ratio_rows(a, net):
    ours = list(dict.fromkeys(r['who'] for r in a.records if r['net'] == net and r['who'].startswith('cnnc')))
    for work in NETS[net][0]:
        for who in ours:
            for cores in a.cores:
                mine = values(a, net, cores, who, work, 'median_ms')
                precision = 'bfloat16' if 'bfloat16' in who else 'float32'
                theirs, name = best_peer(a, net, cores, work, precision)
                if 'augmented' in who and work != 'train_step' or not mine:
                    continue
                against = f'{name} | {cell(a, net, cores, name, work)} | {mine / theirs:.2f}' if theirs else 'none | | '
                row = f'| {net} | {title(a, net, work)} | {who[5:]} | {cores} | {cell(a, net, cores, who, work)} | '
                yield row + against + ' |'
                exact = values(a, net, cores, 'cnnc exact', work, 'median_ms')
                if precision == 'bfloat16' and exact:
                    yield row + f'cnnc exact | {cell(a, net, cores, "cnnc exact", work)} | {mine / exact:.2f} |'


def peer_table(a, net):
    columns = [(w, c) for w in NETS[net][0] for c in a.cores]
    yield f'| {net} | ' + ' | '.join(f'{title(a, net, w)}, {c} core{"s" * (c > 1)}' for w, c in columns) + ' |'
    yield '|---' * (len(columns) + 1) + '|'
    for who in dict.fromkeys(r['who'] for r in a.records if r['net'] == net):
        cells = [cell(a, net, c, who, w) for w, c in columns]
        error = next((r['error'] for r in a.records if (r['net'], r['who']) == (net, who) and 'error' in r), None)
        if any(cells):
            yield f'| {who} | ' + ' | '.join(cells) + ' |'
        elif error:
            yield f'| {who} | failed: {error.replace("|", "/")}' + ' | ' * len(columns) + '|'


def start_table(a):
    yield '| one prediction | exec to exit, min / median ms | peak memory, MB | program, kB |'
    yield '|---|---|---|---|'
    for who in dict.fromkeys(r['who'] for r in a.records if r['net'] == 'start'):
        rows = [r for r in a.records if r['net'] == 'start' and r['who'] == who and 'error' not in r]
        if rows:
            ms = f'{number(min(r["min_ms"] for r in rows))} / {number(statistics.median(r["median_ms"] for r in rows))}'
            size = f'{rows[0]["bytes"] / 1e3:.0f}' if 'bytes' in rows[0] else ''
            yield f'| {who} | {ms} | {statistics.median(r["memory"] for r in rows):.0f} | {size} |'


def versions(a):
    found = [f'{module} {version}' for module, (_, version) in a.found.items()]
    absent = [m for m in dict.fromkeys(p[1] for p in PEERS) if m not in a.found]
    return ', '.join(found) + (f'; not installed: {", ".join(absent)}' if absent else '')


def report(a):
    machines = [r['machine'] for r in a.records if 'machine' in r]
    fma = [r['machine']['fma_gflops'] / r['cores'] for r in a.records if 'machine' in r]
    copy = [m['copy_gbs'] for m in machines]
    out = []
    if machines:
        out.append(f'{time.strftime("%Y-%m-%d")}, {os.cpu_count()} cores of an {machines[0]["cpu"]} with code for '
                   f'{machines[0]["target"]}; {a.cnnc_version}; {versions(a)}.')
        out.append(f'`cnnc bench` found {min(fma):.0f} to {max(fma):.0f} GFLOP/s a core from registers and copies of '
                   f'{min(copy):.0f} to {max(copy):.0f} GB/s while this was measured.')
        noisy = sum(map(disturbed, a.records))
        if noisy:
            out.append(f'{noisy} of {len(a.records)} measurements were disturbed by other processes.')
        rounds = max(r['round'] for r in a.records)
        out += ['', f'Command: `tests/bench/compare.py --rounds {rounds}`. Cells are min / median ms.', '']
    nets = [n for n in a.nets if n in NETS and any(r['net'] == n for r in a.records)]
    if nets:
        out += ['| net | work | cnnc | cores | cnnc, ms | best peer | its ms | ratio of medians |', '|---' * 8 + '|']
        out += [row for net in nets for row in ratio_rows(a, net)]
        out += ['', 'Parameters that are trained, the same in every framework: ' +
                ', '.join(f'{net} {a.parameters.get(net, 0):,}' for net in nets) + '.']
    for net in nets:
        out += ['', *peer_table(a, net)]
    if any(r['net'] == 'start' for r in a.records):
        out += ['', *start_table(a)]
    return '\n'.join(out) + '\n'


def write(path, text):
    with open(path) as f:
        page = f.read()
    if BEGIN not in page or END not in page:
        sys.exit(f'{path} has no lines "{BEGIN}" and "{END}"')
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    with open(path, 'w') as f:
        f.write(head + BEGIN + '\n\n' + text + '\n' + END + tail)


def arguments():
    p = argparse.ArgumentParser(description='cnnc beside other frameworks')
    p.add_argument('--cnnc', default='build/bin/cnnc')
    p.add_argument('--peers', default='build/peers')
    p.add_argument('--nets', default=','.join(NETS) + ',start')
    p.add_argument('--cores', default='1,2')
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--tries', type=int, default=3, help='times that a disturbed measurement is taken')
    p.add_argument('--slice', type=float, default=1.5, help='seconds a work of a peer')
    p.add_argument('--seconds', type=float, default=0, help='stop after about so long, with exit code 3; 0: do all')
    p.add_argument('--only', default='', help='only peers whose name matches')
    p.add_argument('--all', action='store_true', help='every peer in every round')
    p.add_argument('--prepare', action='store_true', help='let what compiles do so')
    p.add_argument('--tables', action='store_true', help='measure nothing')
    p.add_argument('--results', default='build/compare.jsonl')
    p.add_argument('--write', metavar='FILE', help='put the tables between the marks of this file')
    a = p.parse_args()
    a.nets, a.cores = a.nets.split(','), [int(c) for c in a.cores.split(',')]
    unknown = [n for n in a.nets if n not in NETS and n != 'start']
    if unknown:
        p.error(f'no net {unknown[0]}: {", ".join(NETS)}, start')
    a.cnnc, a.peers = os.path.abspath(a.cnnc), os.path.abspath(a.peers)
    return a


def main():
    a = arguments()
    os.makedirs(os.path.dirname(os.path.abspath(a.results)), exist_ok=True)
    a.records, a.parameters, a.batch = [], {}, {}
    if os.path.exists(a.results):
        with open(a.results) as f:
            a.records = [json.loads(line) for line in f]
    for net in a.nets:
        if net in NETS:
            r = run_json([a.cnnc, 'check', f'{MODELS}/{net}.yaml', '--json'])
            if 'error' in r:
                sys.exit(f'{net}: {r["error"]}')
            a.parameters[net], a.batch[net] = r['trainable'], r['max_batch']
    a.cnnc_version = last_line(subprocess.run([a.cnnc, '--version'], capture_output=True, text=True).stdout)
    with tempfile.TemporaryDirectory() as folder:
        a.vendor_check = vendor_check(folder)
        a.found = find_peers(a)
        print(versions(a), file=sys.stderr)
        if a.prepare:
            return prepare(a)
        finished = a.tables or measure(a)
    if not finished:
        sys.exit(3)
    text = report(a)
    print(text, end='')
    if a.write:
        write(a.write, text)


if __name__ == "__main__":
    main()

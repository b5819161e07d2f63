-- serve.lua -- for wrk: POST the pictures named in the environment variable PICTURES to /predict, in turn
local bodies, at = {}, 0
for path in string.gmatch(os.getenv("PICTURES"), "%S+") do
	local f = assert(io.open(path, "rb"))
	bodies[#bodies + 1] = f:read("*a")
	f:close()
end
function request()
	at = at % #bodies + 1
	return wrk.format("POST", "/predict", {["Content-Type"] = "image/jpeg"}, bodies[at])
end
good, refused, other = 0, 0, 0
function response(status)
	if status == 200 then good = good + 1 elseif status == 503 then refused = refused + 1 else other = other + 1 end
end
local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function done(summary, latency)
	local g, r, o = 0, 0, 0
	for _, t in ipairs(threads) do g = g + t:get("good") r = r + t:get("refused") o = o + t:get("other") end
	local s = summary.duration / 1e6
	io.write(string.format("RESULT %.1f %.3f %.3f %.3f %d %d %d\n", g / s, latency:percentile(50) / 1e3,
		latency:percentile(99) / 1e3, latency.max / 1e3, r, o,
		summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end

package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local elect = require "konductor.elect"
local play = require "lib.play"

local TERM_MS = 60000
local COMMANDS = { serve = { run_ms = 36000000, term_ms = 2000 } }

local candidate = cast.replica_of(elect.run, function()
  return {
    name = "x", spec = { ttl = "15s" }, ttl_ms = 15000, work = { argv = { "serve" } }, stop_grace_ms = 10000,
    again = true, reelect_after_ms = TERM_MS,
  }
end)
local world, stored = cast.world_of(COMMANDS), cast.stored_of "Lease"
local until_running, line_up = cast.until_running, cast.line_up_of(candidate)

-- Ends everybody, and looks at what happened.
local function close(s, ...)
  local processes = { ... }
  for _, process in ipairs(processes) do
    process:stop()
  end
  play.finish(s, unpack(processes))
  play.judge(s)
end

describe("a term of office", function()
  it("ends for whoever waits, after the work has, and comes again in turn", function()
    local s = world()
    local processes = { line_up(s, "a", "b") }
    until_running(s, "b", 2 * TERM_MS)
    assert.is_true(s.runs[1].to_us - s.runs[1].from_us >= TERM_MS * 1000)
    assert.is_true(s.runs[2].from_us >= s.runs[1].to_us)
    until_running(s, "a", 2 * TERM_MS)
    close(s, unpack(processes))
  end)

  it("ends for nobody: the work goes on until somebody comes", function()
    local s = world()
    local a = line_up(s, "a")
    s:run_for(10 * TERM_MS)
    assert.equal(1, #s.runs)
    assert.is_nil(s.runs[1].to_us)
    local b = s:start("b", candidate())
    until_running(s, "b")
    close(s, a, b)
  end)

  it("is not begun anew by renewals, and renewals go on while the work ends", function()
    local s = cast.world_of { serve = { run_ms = 36000000, term_ms = 9000 } } {}
    local processes = { line_up(s, "a", "b") }
    until_running(s, "b", 2 * TERM_MS)
    local lasted_ms = (s.runs[1].to_us - s.runs[1].from_us) / 1000
    assert.is_true(lasted_ms >= TERM_MS + 9000 and lasted_ms <= TERM_MS + 9000 + 5000)
    assert.equal("b", stored(s).status.holder)
    close(s, unpack(processes))
  end)
end)

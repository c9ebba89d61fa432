--- Every mutant of the policies is found by the simulator, within its budget of seeds.

local mutants = require "lib.mutants"

local CODES = { script = 65, stuck = 70, store = 74, timeout = 75, superseded = 76, in_doubt = 77, lost = 75 }

local function read(path)
  local file = assert(io.open(path))
  local content = file:read "*a"
  file:close()
  return content
end

--- The source with each change made, which must apply at exactly one place.
local function mutate(source, mutant)
  for _, change in ipairs(mutant) do
    local from, to = source:find(change[1], 1, true)
    assert(from, ("%s: %s.lua does not have: %s"):format(mutant.name, mutant.module, change[1]))
    assert(not source:find(change[1], to + 1, true), ("%s: %s.lua has it twice: %s"):format(mutant.name, mutant.module,
      change[1]))
    source = source:sub(1, from - 1) .. change[2] .. source:sub(to + 1)
  end
  return source
end

local function is_ours(name)
  return name:find "^konductor" ~= nil
end

--- Calls fn with a fresh library in which the module is the mutant; afterwards all is as before.
local function with(mutant, fn)
  local kept = {}
  for name, module in pairs(package.loaded) do
    if is_ours(name) then
      kept[name] = module
    end
  end
  for name in pairs(kept) do
    package.loaded[name] = nil
  end
  local path = "lua/konductor/" .. mutant.module .. ".lua"
  package.preload["konductor." .. mutant.module] = assert(loadstring(mutate(read(path), mutant), "@" .. path))
  local ok, value = pcall(fn)
  package.preload["konductor." .. mutant.module] = nil
  for name in pairs(package.loaded) do
    if is_ours(name) then
      package.loaded[name] = nil
    end
  end
  for name, module in pairs(kept) do
    package.loaded[name] = module
  end
  assert(ok, value)
  return value
end

local function script_of(mutant)
  return {
    text = 'local k = require "konductor"\n' .. mutants.scripts[mutant.script], chunkname = "@init.lua", environ = {},
    json = { array = function(list) return list end }, read_file = function() end, make = require("konductor.init").new,
    exit_code = function(word) return CODES[word] end,
  }
end

--- The first world that the oracle objects to.
local function hunt(mutant)
  local seed_of, script = require "konductor.sim.seed", script_of(mutant)
  for seed = 1, mutant.seeds do
    local result = seed_of.play(script, seed)
    if result.found[1] then
      return result
    end
  end
end

describe("the simulator finds it when", function()
  for _, mutant in ipairs(mutants.list) do
    it(mutant.name, function()
      local found = with(mutant, function() return hunt(mutant) end)
      assert(found, ("it survived %d seeds"):format(mutant.seeds))
      if os.getenv "KONDUCTOR_SHOW_MUTANTS" then
        print(("%-60s seed %5d of %5d  %s: %s"):format(mutant.name, found.seed, mutant.seeds, found.found[1].rule,
          found.found[1].text))
      end
    end)
  end
end)

describe("a world that breaks", function()
  local function mutant_named(name)
    for _, mutant in ipairs(mutants.list) do
      if mutant.name == name then
        return mutant
      end
    end
  end

  it("is made smaller, and breaks the same rule with the faults and replicas that are left", function()
    local mutant = mutant_named "no child has a deadman"
    with(mutant, function()
      local result, script = hunt(mutant), script_of(mutant)
      local smaller = assert(require("konductor.sim.minimise").minimise(script, result))
      assert.equal(2, smaller.replicas)
      assert.is_true(#smaller.only <= 3, table.concat(smaller.only, " "))
      local only = {}
      for _, kind in ipairs(smaller.only) do
        only[kind] = true
      end
      local again = require("konductor.sim.seed").play(script, result.seed, { replicas = 2, only = only })
      assert.equal(result.found[1].rule, again.found[1].rule)
    end)
  end)

  it("without any fault needs none", function()
    local seed_of, minimise = require "konductor.sim.seed", require("konductor.sim.minimise").minimise
    mutants.scripts.never = 'k.once("nobody"):wait()'
    local script = script_of { script = "never" }
    assert.same({ replicas = 1, only = {} }, minimise(script, seed_of.play(script, 1)))
  end)
end)

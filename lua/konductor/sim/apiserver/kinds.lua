--- The resources that the model of an API server serves: those of crds.lua, with the defaults
--- of their definitions, and the Leases of coordination.k8s.io.
---
--- Schemas are not checked and unknown fields not pruned here: tests/e2e/kube/test_crds.py does
--- that on a real server. Defaults are applied, because they change what a reader sees.

local crds = require "konductor.kube.crds"

local M = {}

---@class konductor.sim.Resource
---@field name string              plural.group, as Status bodies name it
---@field kind string
---@field plural string
---@field group string
---@field api_version string
---@field status boolean           status is a resource of its own, and spec changes are counted
---@field create_on_update boolean a PUT may create
---@field spec_defaults table      field -> value
---@field status_defaults table
---@field empty_status? table      what stands for a missing status

local function refuse_default(schema, path)
  if schema.default ~= nil then
    error(path .. ": a default at this depth is not modelled", 0)
  end
  for name, property in pairs(schema.properties or {}) do
    refuse_default(property, path .. "." .. name)
  end
  if schema.items then
    refuse_default(schema.items, path .. "[]")
  end
end

-- Only of the first level: what is deeper would be applied by a walk on each write.
local function defaults_of(schema, path)
  local defaults = {}
  for name, property in pairs(schema.properties or {}) do
    defaults[name] = property.default
    for inner, below in pairs(property.properties or {}) do
      refuse_default(below, ("%s.%s.%s"):format(path, name, inner))
    end
    if property.items then
      refuse_default(property.items, ("%s.%s[]"):format(path, name))
    end
  end
  return defaults
end

local function add(resource)
  resource.name = resource.plural .. "." .. resource.group
  resource.api_version = resource.group .. "/v1"
  M[resource.name] = resource
end

for _, of in ipairs(crds.kinds) do
  add {
    kind = of.kind, plural = of.plural, group = crds.GROUP, status = true, create_on_update = false,
    spec_defaults = defaults_of(of.spec, of.kind .. ".spec"),
    status_defaults = defaults_of(of.status, of.kind .. ".status"),
    empty_status = of.status.default,
  }
end

add {
  kind = "Lease", plural = "leases", group = "coordination.k8s.io", status = false, create_on_update = true,
  spec_defaults = {}, status_defaults = {},
}

return M

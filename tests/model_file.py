"""A valid model and scenario as people would write them, for tests of files and commands."""

MODEL = """\
# A shop, written by hand.
version: 1
kind: model
service: shop
warnings: [recorded for 10 s only]
process: {workers: 2, cores: 2, thread_tokens: 40, python: "3.11"}
traffic: {rate: 210/s, duration: 60s, dispersion: 1.1, utilisation: 67%}
loop:
  accept: 100us
  cold: {extra: 30%, memory: 20ms}
resources:
  db: {capacity: 5}
endpoints:
  - name: GET /items/{id}
    share: 60%
    requests: 1200
    variants:
      - steps:
          - {do: cpu, where: "app.py:read", time: {family: constant, value: 1.2ms}}
          - {do: acquire, resource: db}
          - do: wait
            kind: db
            via: thread
            time:
              family: lognorm
              median: 3ms
              sigma: 0.41
              fit: {n: 1200, censored: 23%, distance: 0.012, quantiles: [1ms, 30ms]}
          - {do: release, resource: db}
          - {do: respond}
          - {do: cpu, time: {family: expon, mean: 250us}}
  - name: POST /chat
    share: 40%
    variants:
      - name: answer
        share: 90%
        steps:
          - do: stream
            kind: llm
            chunks: {values: [10, 20], weights: [1, 3]}
            gap:
              family: mixture
              weights: [0.5, 0.5]
              parts:
                - {family: gamma, mean: 20ms, shape: 2.5}
                - {family: pareto, scale: 5ms, tail: 0.2}
            cpu: {family: invgauss, mean: 100us, shape: 3}
          - do: thread
            cpu: {family: weibull, scale: 2ms, shape: 1.4}
            off_gil: {family: constant, value: 1ms}
      - name: refused
        share: 10%
        failed: true
        steps:
          - {do: yield}
          - do: cpu
            blocking: 50%
            time:
              {family: empirical, probabilities: [0, 0.5, 1], values: [1ms, 2ms, 10ms], shift: 5us}
self_check:
  - {endpoint: "GET /items/{id}", metric: p95, recorded: 20ms, twin: 24ms, error: 0.2,
     error_low: 0.15, error_high: 0.26, verdict: "off"}
"""

SCENARIO = """\
version: 1
kind: scenario
model: model.yaml
traffic: {rate: 300/s, duration: 30s}
deployment: {workers: 3, resources: {db: {capacity: 8}}}
slo: ["p95 < 100ms", "GET /items/{id}: errors < 1%"]
seed: 7
"""

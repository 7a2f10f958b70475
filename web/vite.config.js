// One classic script: the report puts it into its own file, so that nothing is loaded.
import { defineConfig } from "vite";

export default defineConfig({
  define: { "process.env.NODE_ENV": '"production"' },
  build: {
    target: "es2022",
    outDir: "dist",
    lib: { entry: "src/page.ts", formats: ["iife"], name: "fastsim", fileName: () => "page.js" },
  },
});

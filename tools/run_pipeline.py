from detection.commands.run_pipeline import main

if __name__ == "__main__":
    raise SystemExit(main())

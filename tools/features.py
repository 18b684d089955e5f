from detection.commands.features import main

if __name__ == "__main__":
    raise SystemExit(main())

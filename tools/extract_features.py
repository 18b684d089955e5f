from detection.commands.extract_features import main

if __name__ == "__main__":
    raise SystemExit(main())

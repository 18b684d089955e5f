from detection.commands.download_voc import main

if __name__ == "__main__":
    raise SystemExit(main())
